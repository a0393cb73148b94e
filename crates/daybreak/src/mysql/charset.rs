//! Character sets and collations whose name depends on who says it.

/// The name that newer versions use: `utf8` and `utf8_...` became `utf8mb3` and `utf8mb3_...` in MySQL
/// 8.0.30 and MariaDB 10.6. Any other name, and one in upper case, stays as it is.
pub fn modern(name: &str) -> String {
    match name.strip_prefix("utf8") {
        Some(rest) if rest.is_empty() || rest.starts_with('_') => format!("utf8mb3{rest}"),
        _ => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::modern;

    #[test]
    fn old_and_new_names_are_one() {
        for (old, new) in [
            ("utf8", "utf8mb3"),
            ("utf8_general_ci", "utf8mb3_general_ci"),
            ("utf8mb3_bin", "utf8mb3_bin"),
            ("utf8mb4", "utf8mb4"),
            ("utf8mb4_bin", "utf8mb4_bin"),
            ("utf8x", "utf8x"),
            ("latin1", "latin1"),
            ("", ""),
        ] {
            assert_eq!(modern(old), new);
        }
    }
}
