//! tar: ustar, with the long names and large sizes of GNU and POSIX. Regular files and directories only.
//!
//! The two empty blocks at the end are asked for: without them the archive was cut.

use std::collections::HashSet;

use super::{Fault, Input, PIECE, Visitor, checked};

const BLOCK: usize = 512;
/// The longest name or set of attributes that is kept.
const LONGEST: u64 = 64 * 1024;

/// Whether bytes look like the beginning of a tar archive.
pub fn looks_like(head: &[u8]) -> bool {
    head.len() >= BLOCK && head[0] != 0 && checksum_holds(&head[..BLOCK])
}

/// What the entries before a file say about it.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Reads a whole archive.
pub fn read(stream: &mut dyn std::io::Read, visitor: &mut dyn Visitor) -> Result<(), Fault> {
    let mut input = Input::new(stream);
    let mut buffer = vec![0; PIECE];
    let mut seen = HashSet::new();
    let mut ahead = Ahead::default();
    let mut id = 0;
    loop {
        let begins = input.at();
        let wrong = |what: String| Fault::Damaged(format!("{what}, at byte {begins}"));
        let mut head = [0; BLOCK];
        input.exact(&mut head, "the archive (the blocks that end it are missing)")?;
        if head.iter().all(|byte| *byte == 0) {
            if ahead.name.is_some() || ahead.size.is_some() {
                return Err(wrong("the archive ends where a file is announced".into()));
            }
            return ending(&mut input, &mut buffer);
        }
        if !checksum_holds(&head) {
            return Err(wrong("the checksum of a header doesn't hold".into()));
        }
        let size = number(&head[124..136]).ok_or_else(|| wrong("a size can't be read".into()))?;
        match head[156] {
            kind @ (b'L' | b'x') => {
                let text = text(&mut input, size, &wrong)?;
                if kind == b'L' {
                    ahead.name = Some(until_zero(&text).to_vec());
                } else {
                    attributes(&text, &mut ahead).ok_or_else(|| {
                        wrong("the attributes of a file can't be understood".into())
                    })?;
                }
            }
            // For all files that follow: nothing that a backup needs may be in it.
            b'g' => {
                let mut all = Ahead::default();
                attributes(&text(&mut input, size, &wrong)?, &mut all)
                    .filter(|()| all.name.is_none() && all.size.is_none())
                    .ok_or_else(|| wrong("attributes for all files can't be understood".into()))?;
            }
            kind => {
                let ahead = std::mem::take(&mut ahead);
                let size = ahead.size.unwrap_or(size);
                let name = ahead.name.unwrap_or_else(|| plain_name(&head));
                match kind {
                    b'5' => {
                        let name = name.strip_suffix(b"/").unwrap_or(&name);
                        if size != 0 {
                            return Err(wrong("a directory with content".into()));
                        }
                        if name != b"." {
                            checked(name)?;
                        }
                    }
                    b'0' | 0 => {
                        let name = checked(&name)?;
                        if size > i64::MAX as u64 {
                            return Err(wrong(format!("{name} would be too long")));
                        }
                        if !seen.insert(name.clone()) {
                            return Err(wrong(format!("{name} is there twice")));
                        }
                        visitor.begin(id, &name)?;
                        let mut at = 0;
                        input.pieces(size, &mut buffer, &name, |bytes| {
                            visitor.data(id, at, bytes)?;
                            at += bytes.len() as u64;
                            Ok(())
                        })?;
                        padding(&mut input, size)?;
                        visitor.end(id, size)?;
                        id += 1;
                    }
                    kind => {
                        let name: String =
                            String::from_utf8_lossy(&name).chars().take(80).collect();
                        return Err(Fault::Unsafe(format!(
                            "{name:?} is a {}, which no backup holds",
                            kind_name(kind)
                        )));
                    }
                }
            }
        }
    }
}

fn kind_name(kind: u8) -> String {
    match kind {
        b'1' => "hard link".into(),
        b'2' => "symbolic link".into(),
        b'3' | b'4' => "device".into(),
        b'6' => "pipe".into(),
        b'S' => "sparse file of GNU tar".into(),
        other => format!("tar entry of type {:?}", char::from(other)),
    }
}

/// The rest of an archive: at least one more empty block, and nothing but zeros.
fn ending(input: &mut Input<'_>, buffer: &mut [u8]) -> Result<(), Fault> {
    let mut second = [0; BLOCK];
    input.exact(&mut second, "the end of the archive")?;
    let mut clean = second.iter().all(|byte| *byte == 0);
    loop {
        let read = input.fill(buffer)?;
        clean &= buffer[..read].iter().all(|byte| *byte == 0);
        if !clean {
            return Err(Fault::Damaged("something follows the end of the archive".into()));
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// The rest of a file's last block. Some tools leave there what their buffer held; it means nothing.
fn padding(input: &mut Input<'_>, size: u64) -> Result<(), Fault> {
    let over = (size % BLOCK as u64) as usize;
    let mut rest = [0; BLOCK];
    match over {
        0 => Ok(()),
        over => input.exact(&mut rest[over..], "the archive"),
    }
}

/// A name or attributes in the place of a file.
fn text(
    input: &mut Input<'_>,
    size: u64,
    wrong: &impl Fn(String) -> Fault,
) -> Result<Vec<u8>, Fault> {
    if size > LONGEST {
        return Err(wrong(format!("{size} bytes of attributes")));
    }
    let mut text = vec![0; size as usize];
    input.exact(&mut text, "a header")?;
    padding(input, size)?;
    Ok(text)
}

/// Reads POSIX attributes: `length key=value` lines. None if they can't be read, or mean something for
/// the content that isn't known here.
fn attributes(mut text: &[u8], ahead: &mut Ahead) -> Option<()> {
    while !text.is_empty() {
        let space = text.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
        if length <= space + 1 || length > text.len() {
            return None;
        }
        let line = text[space + 1..length].strip_suffix(b"\n")?;
        let equals = line.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (&line[..equals], &line[equals + 1..]);
        match key {
            b"path" => ahead.name = Some(value.to_vec()),
            b"size" => ahead.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            key if key.starts_with(b"GNU.sparse") => return None,
            // Times, owners and the like.
            _ => {}
        }
        text = &text[length..];
    }
    Some(())
}

fn plain_name(head: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_zero(&head[..100]);
    // Only ustar of POSIX has a prefix; GNU's `ustar  ` keeps times there.
    let prefix = match &head[257..263] == b"ustar\0" {
        true => until_zero(&head[345..500]),
        false => &[],
    };
    match prefix.is_empty() {
        true => name.to_vec(),
        false => [prefix, b"/", name].concat(),
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn checksum_holds(head: &[u8]) -> bool {
    let sum: u64 = head
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    // All tools pad it with zeros and end it in one of these ways; else a bit fell over.
    let ended = match &head[154..156] {
        [0, b' '] | [b' ', 0] => true,
        [digit, 0 | b' '] => digit.is_ascii_digit(),
        _ => false,
    };
    ended && head[148] != b' ' && number(&head[148..156]) == Some(sum)
}

/// A number: octal digits between blanks, ended by zero or blank; or, with the high bit set, 256-based.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        return field[1..]
            .iter()
            .try_fold(0_u64, |value, byte| Some(value.checked_mul(256)? | u64::from(*byte)));
    }
    let from = field.iter().position(|byte| *byte != b' ')?;
    let digits = field[from..].iter().take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let rest = &field[from + digits..];
    let ended = matches!(rest, [] | [0] | [b' '] | [0, b' '] | [b' ', 0] | [0, 0])
        || rest.iter().all(|byte| *byte == 0);
    (digits > 0 && ended).then(|| {
        field[from..from + digits]
            .iter()
            .fold(0_u64, |value, digit| (value << 3) | u64::from(digit - b'0'))
    })
}
