//! Blanks the passwords of server URLs in this process's own argument list, so that a process list
//! doesn't show them.

use std::os::unix::ffi::OsStrExt as _;

/// Overwrites the password of every `mysql://user:password@...` among the arguments, in the memory
/// that `ps` and `/proc/PID/cmdline` read. Returns whether there was one.
pub fn blank_passwords() -> bool {
    let arguments: Vec<_> = std::env::args_os().collect();
    if !arguments.iter().any(|argument| password(argument.as_bytes()).is_some()) {
        return false;
    }
    if let Some((start, length)) = argument_memory(&arguments) {
        // SAFETY: the kernel put this process's arguments there, `argument_memory` checked that the
        // bytes are those of `args_os`, nobody else holds a reference to them (the standard library
        // copies on each call), and no other thread runs yet.
        let memory = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) };
        for argument in memory.split_mut(|byte| *byte == 0) {
            if let Some(range) = password(argument) {
                argument[range].fill(b'x');
            }
        }
    }
    true
}

/// Where the password of a server's URL stands in an argument.
fn password(argument: &[u8]) -> Option<std::ops::Range<usize>> {
    let scheme = b"mysql://";
    let is_scheme = |window: &[u8]| window.eq_ignore_ascii_case(scheme);
    let at = argument.windows(scheme.len()).position(is_scheme)? + scheme.len();
    let end =
        argument[at..].iter().position(|byte| *byte == b'/').map_or(argument.len(), |n| at + n);
    let sign = argument[at..end].iter().rposition(|byte| *byte == b'@')? + at;
    let colon = argument[at..sign].iter().position(|byte| *byte == b':')? + at;
    (colon + 1 < sign).then_some(colon + 1..sign)
}

/// The address and length of the argument area, by `/proc/self/stat` fields 48 and 49 (proc(5)).
fn argument_memory(arguments: &[std::ffi::OsString]) -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Field 3 of the file is the first one after the name.
    let (start, end): (usize, usize) =
        (fields.get(45)?.parse().ok()?, fields.get(46)?.parse().ok()?);
    let cmdline = std::fs::read("/proc/self/cmdline").ok()?;
    let expected: Vec<u8> = arguments
        .iter()
        .flat_map(|argument| argument.as_bytes().iter().copied().chain([0]))
        .collect();
    (start != 0 && end.checked_sub(start)? == expected.len() && cmdline == expected)
        .then_some((start, expected.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found() {
        let found = |text: &'static str| password(text.as_bytes()).map(|range| &text[range]);
        assert_eq!(found("mysql://u:geheim@h:1/?tls=off"), Some("geheim"));
        assert_eq!(found("--source=mysql://u:a@b@h"), Some("a@b"));
        assert_eq!(found("MySQL://u:geheim@h"), Some("geheim"));
        assert_eq!(found("mysql://u@h:1/"), None);
        assert_eq!(found("mysql://u:@h/"), None);
        assert_eq!(found("--dir"), None);
    }
}
