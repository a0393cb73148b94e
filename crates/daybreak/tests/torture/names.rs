//! Names, comments and options that break whoever builds statements from them.

use super::case::{ALL, Case, M97, MARIA, case};

pub const CASES: &[Case] = &[
    case("backtick", ALL, 1, &["CREATE TABLE {t} (`a``b` INT PRIMARY KEY, ```` INT, KEY `k``` (````))", "INSERT INTO {t} VALUES (1, 2)"]).named("back`tick``"),
    case("quotes", ALL, 1, &[r#"CREATE TABLE {t} (`it's` INT PRIMARY KEY, `"` INT)"#, "INSERT INTO {t} VALUES (1, 2)"]).named(r#"it's "quoted""#),
    case("newline", ALL, 1, &["CREATE TABLE {t} (`a\nb` INT PRIMARY KEY, `c\td` INT)", "INSERT INTO {t} VALUES (1, 2)"]).named("new\nline\ttab"),
    case("backslash", ALL, 1, &[r"CREATE TABLE {t} (`a\b` INT PRIMARY KEY, `\` INT, `\'` INT)", "INSERT INTO {t} VALUES (1, 2, 3)"]).named(r"back\slash\"),
    case("comment_end", ALL, 1, &["CREATE TABLE {t} (`*/` INT PRIMARY KEY, `/*!50100 a` INT, `-- b` INT, `#` INT)", "INSERT INTO {t} VALUES (1, 2, 3, 4)"]).named("*/ DROP /*"),
    case("percent", ALL, 1, &["CREATE TABLE {t} (`%` INT PRIMARY KEY, `%s` INT, `?` INT)", "INSERT INTO {t} VALUES (1, 2, 3)"]).named("100%_"),
    case("underscore", ALL, 1, &["CREATE TABLE {t} (`_` INT PRIMARY KEY)", "INSERT INTO {t} VALUES (1)"]).named("_"),
    case("dots", ALL, 1, &["CREATE TABLE {t} (`a.b` INT PRIMARY KEY, `.` INT)", "INSERT INTO {t} VALUES (1, 2)"]).named("a.b.c"),
    case("dollars", ALL, 1, &["CREATE TABLE {t} (`$a` INT PRIMARY KEY, `${b}` INT)", "INSERT INTO {t} VALUES (1, 2)"]).named("a$b"),
    case("unicode", ALL, 1, &["CREATE TABLE {t} (`ключ` INT PRIMARY KEY, `列` INT, `é` INT)", "INSERT INTO {t} VALUES (1, 2, 3)"]).named("表ю☃"),
    case("sixty_four", ALL, 1, &["CREATE TABLE {t} (`cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc` INT PRIMARY KEY, b INT, UNIQUE KEY `kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk` (b))", "INSERT INTO {t} VALUES (1, 2)"])
        .named("tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"),
    case("sixty_four_of_three_bytes", ALL, 1, &["CREATE TABLE {t} (a INT PRIMARY KEY)", "INSERT INTO {t} VALUES (1)"])
        .named("☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃☃"),
    case("reserved", ALL, 1, &["CREATE TABLE {t} (`select` INT PRIMARY KEY, `from` INT, `rank` INT, `key` INT, `primary` INT, KEY `order` (`from`))", "INSERT INTO {t} VALUES (1, 2, 3, 4, 5)"]).named("table"),
    case("spaces", ALL, 1, &["CREATE TABLE {t} (`a b` INT PRIMARY KEY, ` c` INT)", "INSERT INTO {t} VALUES (1, 2)"]).named(" a  b"),
    case("digits", ALL, 1, &["CREATE TABLE {t} (`1` INT PRIMARY KEY, `1e5` INT)", "INSERT INTO {t} VALUES (1, 2)"]).named("123"),
    case("looks_like_ours", ALL, 1, &["CREATE TABLE {t} (daybreak_v INT PRIMARY KEY, h INT, d INT, `@v0` INT)", "INSERT INTO {t} VALUES (1, 2, 3, 4)"]).named("daybreak"),
    case("upper_case", ALL, 1, &["CREATE TABLE {t} (A INT PRIMARY KEY, Bc INT)", "INSERT INTO {t} VALUES (1, 2)"]).named("CASED"),
    case("lower_case_of_it", ALL, 2, &["CREATE TABLE {t} (a INT PRIMARY KEY)", "INSERT INTO {t} VALUES (1), (2)"]).named("cased"),
    case("comments", ALL, 1, &[
        "CREATE TABLE {t} (a INT PRIMARY KEY COMMENT 'it''s \\\\ \"x\" */ ; -- ` \n', b INT COMMENT '🙂 é', KEY k (b) COMMENT 'PARTITION BY ) ''') COMMENT = 'a ''quoted'' */ /*!50100 x */ \\\\ ; \n two lines'",
        "INSERT INTO {t} VALUES (1, 2)",
    ]),
    case("long_comments", ALL, 1, &[
        "SET @sql = CONCAT('CREATE TABLE {t} (a INT PRIMARY KEY COMMENT ''', REPEAT('é', 1024), ''') COMMENT = ''', REPEAT('x', 2048), '''')",
        "PREPARE it FROM @sql",
        "EXECUTE it",
        "INSERT INTO {t} VALUES (1)",
    ]),
    case("named_checks", M97 | MARIA, 1, &[
        "CREATE TABLE {t} (a INT PRIMARY KEY, b VARCHAR(9), CONSTRAINT `it's, (` CHECK (a > 0 AND b <> ')('), CONSTRAINT `names_b` CHECK (b <> 'it''s'))",
        "INSERT INTO {t} VALUES (1, 'x')",
    ]),
];
