//! JSON documents whose values no text can tell.

use daybreak::sync::verify::{Liveness, What};

use super::harness::{Sides, config, found};

/// Documents of which only some went through their text, or had a number of another type put into
/// them: they print alike, and aren't.
pub async fn documents_that_text_cannot_tell(sides: &Sides) {
    let [mut source, mut target] = sides.sessions().await;
    for session in [&mut source, &mut target] {
        for sql in [
            "CREATE DATABASE documents",
            "CREATE TABLE documents.d (id INT PRIMARY KEY, j JSON, daybreak_v JSON)",
            "INSERT INTO documents.d (id, j) VALUES (1, JSON_OBJECT('d', CAST('2024-02-29' AS DATE))), \
             (2, JSON_ARRAY(CAST(1.10 AS DECIMAL(30,10)))), (3, JSON_ARRAY(CAST('-12:00:00.5' AS TIME(6)))), \
             (4, JSON_ARRAY(x'00ff')), (5, '[1.5, \"2024-02-29\"]'), (6, '{\"a\": [0, {\"b\": 1}]}'), (7, '{\"a\": [1.5, 2.5]}'), \
             (8, '1.5'), (9, '[1, 2]'), (10, JSON_ARRAY(1.5, 2.5e0)), (11, '[{\"x\": 1.0}]'), (12, '18446744073709551615'), (13, NULL)",
            // Whatever stands in one column doesn't change the other one's part.
            "UPDATE documents.d SET daybreak_v = JSON_ARRAY(CAST(id AS UNSIGNED), j, 0.5)",
        ] {
            session.execute(sql).await.unwrap();
        }
    }
    let report = sides.compare("documents", &config(100), Liveness::Still).await;
    assert!(report.is_equal() && report.limits.is_empty(), "{report:?}");
    for (id, document) in [
        // Through its text: dates, decimals, times and bytes become doubles and strings.
        (1, "CAST(CAST(j AS CHAR) AS JSON)"),
        (2, "'[1.1]'"),
        (3, "CAST(CAST(j AS CHAR) AS JSON)"),
        (4, "CAST(CAST(j AS CHAR) AS JSON)"),
        // 1 and 1.0, and 1 without a sign; doubles and decimals.
        (6, "JSON_OBJECT('a', JSON_ARRAY(0, JSON_OBJECT('b', CAST(1 AS UNSIGNED))))"),
        (7, "JSON_OBJECT('a', JSON_ARRAY(1.5e0, 2.5))"),
        (8, "CAST(1.5 AS JSON)"),
        (9, "'[1, 2.0]'"),
        // Two types that changed places.
        (10, "JSON_ARRAY(1.5e0, 2.5)"),
        (11, "JSON_ARRAY(JSON_OBJECT('x', 1.0))"),
        (12, "CAST(CAST(18446744073709551615 AS DECIMAL(20,0)) AS JSON)"),
    ] {
        // To UPDATE numbers of two types are equal, and it would change nothing.
        let other = format!(
            "UPDATE documents.d AS t JOIN (SELECT id, CAST({document} AS JSON) AS k FROM documents.d WHERE id = {id}) AS o \
             USING (id) SET t.j = NULL, t.daybreak_v = JSON_ARRAY(t.daybreak_v, o.k)"
        );
        assert_eq!(target.execute(other).await.unwrap().affected, 1, "{id}");
        let set = "SET j = JSON_EXTRACT(daybreak_v, '$[1]'), daybreak_v = JSON_EXTRACT(daybreak_v, '$[0]')";
        let sql = format!("UPDATE documents.d {set} WHERE id = {id}");
        assert_eq!(target.execute(sql).await.unwrap().affected, 1, "{id}");
        let report = sides.compare("documents", &config(100), Liveness::Still).await;
        assert_eq!(found(&report, "d"), [(format!("(id={id})"), What::Different)], "{report:?}");
        assert!(report.limits.is_empty(), "{report:?}");
        // The next one alone.
        target.execute(format!("DELETE FROM documents.d WHERE id = {id}")).await.unwrap();
        source.execute(format!("DELETE FROM documents.d WHERE id = {id}")).await.unwrap();
    }
}
