//! Which names a file of a backup may have.

use super::Fault;

/// The longest name, as the system has it.
const LONGEST: usize = 4096;

/// Reads a file's name: relative, without `..`, of whole UTF-8 without control characters. A leading
/// `./` is taken off.
pub fn checked(bytes: &[u8]) -> Result<String, Fault> {
    let shown = || {
        let short: String = String::from_utf8_lossy(bytes).chars().take(80).collect();
        format!("{short:?}")
    };
    let refused = |why: &str| Fault::Unsafe(format!("the file name {} {why}", shown()));
    let name = std::str::from_utf8(bytes).map_err(|_| refused("isn't UTF-8"))?;
    if name.len() > LONGEST {
        return Err(refused("is too long"));
    }
    if name.chars().any(char::is_control) {
        return Err(refused("has control characters"));
    }
    if name.starts_with('/') {
        return Err(refused("is absolute"));
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            ".." => return Err(refused("leads upwards")),
            "." if parts.is_empty() => {}
            "" | "." => return Err(refused("has an empty part")),
            part if part.len() > 255 => return Err(refused("has a part that is too long")),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(refused("is empty"));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        assert_eq!(checked(b"./a/b.ibd").unwrap(), "a/b.ibd");
        assert_eq!(checked("we@002dird/\u{e9}".as_bytes()).unwrap(), "we@002dird/\u{e9}");
        for wrong in [
            "",
            ".",
            "./",
            "/a",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "a//b",
            "a/",
            "a/./b",
            "a\nb",
            "a\0",
            "\u{1b}[2J",
        ] {
            assert!(matches!(checked(wrong.as_bytes()), Err(Fault::Unsafe(_))), "{wrong:?}");
        }
        assert!(checked(b"\xff").is_err());
        assert!(checked(&[b'a'; 256]).is_err());
    }
}
