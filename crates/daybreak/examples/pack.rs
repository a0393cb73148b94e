//! Reads a directory, tars and compresses it as an upload does, and leaves the result nowhere: the limit
//! that `make bench` measures an upload against. `pack DIRECTORY`.

use std::io::{self, Write};
use std::path::PathBuf;

use daybreak::transit::{compress::Gzip, tree};

struct Nowhere(u64);

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::args_os().nth(1).ok_or("pack DIRECTORY")?);
    let threads = std::thread::available_parallelism()?.get();
    let mut gzip = Gzip::new(Nowhere(0), threads)?;
    tree::tar(&root, &tree::walk(&root)?, &mut gzip, &mut |_| Ok(()))?;
    println!("{}", gzip.finish()?.0);
    Ok(())
}
