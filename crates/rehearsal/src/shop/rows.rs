//! The rows of every table, as a function of seed, table and row number.
//!
//! Owns what is in them; `plan` says how many there are and `zoo` has the table of all types.
//! A row never depends on the rows before it, save through the generator that they share.

use rand::{Rng, rngs::StdRng};
use sha2::{Digest, Sha256};

use super::{
    plan::{DAY, DAYS, Plan},
    schema::Dialect,
    values::{
        LANGUAGES, RowText, any_script, date, english, latin1, moment, nasty_bytes, person, pick,
        sentence,
    },
};

pub(super) fn category(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let id = index + 1;
    row.raw(id);
    if id <= 4 {
        row.null();
    } else {
        row.raw(id / 4);
    }
    row.text(&any_script(rng, 1, 2))
        .text(&format!("category-{id}"))
        .raw(rng.random_range(-100..100));
}

pub(super) fn department(_: &Plan, index: u64, _: &mut StdRng, row: &mut RowText) {
    let names = ["Einkauf", "Verkauf", "倉庫", "R&D", "O'Hara's", "\"Office\""];
    row.raw(index + 1).text(names[index as usize % 6]);
    if index == 5 {
        row.null();
    } else {
        row.raw(index + 1);
    }
}

pub(super) fn employee(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    row.raw(index + 1).raw(index % 6 + 1);
    if index == 0 {
        row.null();
    } else {
        row.raw(rng.random_range(1..=index));
    }
    row.text(&person(rng)).raw(date(rng.random_range(0..900)));
    if index.is_multiple_of(7) {
        row.null();
    } else {
        row.cents(rng.random_range(200_000..900_000));
    }
}

pub(super) fn customer(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let id = index + 1;
    let domain = pick(rng, &["example.org", "example.com", "mail.example", "köln.example"]);
    let created = plan.when(index, plan.customers, rng);
    row.raw(id)
        .text(&format!("customer{id}@{domain}"))
        .text(&person(rng))
        .text(pick(rng, &["DE", "GR", "JP", "EG", "FR", "US", "BR"]));
    if rng.random_bool(0.2) {
        row.null();
    } else {
        row.raw(format_args!(
            "'{}-{:02}-{:02}'",
            rng.random_range(1920..2010),
            rng.random_range(1..=12),
            rng.random_range(1..=28)
        ));
    }
    row.raw(rng.random_range(0..5000)).raw(format_args!(
        "{}.{:04}",
        rng.random_range(-500..9000),
        rng.random_range(0..10_000)
    ));
    if rng.random_bool(0.3) {
        row.null();
    } else {
        row.raw(format_args!("{:e}", rng.random::<f64>() * 1e6 - 2e5));
    }
    if rng.random_bool(0.1) {
        row.null();
    } else {
        row.text(&format!(
            r#"{{"visits": {}, "tags": ["{}", null, true], "big": {}, "ratio": {}, "nested": {{"ключ": "знач\"ение", "empty": {{}}}}}}"#,
            rng.random_range(0..500),
            pick(rng, &["new", "gold", "日本", "🙂", "a\\\\b"]),
            rng.random::<u64>(),
            rng.random_range(0..1000) as f64 / 8.0,
        ));
    }
    row.raw(moment(created, 3)).raw(moment(created + DAY, 6));
}

pub(super) fn address(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let customer = plan.some_customer(rng);
    row.raw(index + 1)
        .raw(customer)
        .text(pick(rng, &["billing", "shipping", "both"]))
        .text(&format!("{} {}", any_script(rng, 1, 3), rng.random_range(1..300)))
        .text(pick(rng, &["Köln", "Αθήνα", "東京", "القاهرة", "Lyon", "São Paulo"]));
    if rng.random_bool(0.15) {
        row.null();
    } else {
        row.text(&format!("{:05}", rng.random_range(0..100_000)));
    }
    match rng.random_range(0..4) {
        0 => row.text(""),
        1 => row.text(&english(rng, 1, 8)),
        _ => row.null(),
    };
}

pub(super) fn product(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let id = index + 1;
    row.raw(id)
        .raw(rng.random_range(1..=plan.categories))
        .text(&format!("{}-{id}", if id.is_multiple_of(2) { "Ab" } else { "aB" }))
        .text(&any_script(rng, 1, 4))
        .cents(rng.random_range(99..90_000))
        .text(pick(rng, &["0.1900", "0.0700", "0.0000", "0.2550"]));
    if rng.random_bool(0.2) {
        row.null();
    } else {
        row.raw(rng.random::<f32>() * 100.0);
    }
    row.raw(u64::from(index < plan.products / 2)).raw(u8::from(rng.random_bool(0.9)));
    if rng.random_bool(0.3) {
        row.null();
    } else {
        row.text(&format!(
            r#"{{"color": "{}", "sizes": [{}, {}.5, 1e3, -0.0]}}"#,
            pick(rng, &["rot", "πράσινο", "青", "\\u00e4"]),
            rng.random_range(0..9),
            rng.random_range(0..9)
        ));
    }
}

pub(super) fn price_change(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    row.raw(index + 1)
        .raw(1)
        .cents(rng.random_range(99..90_000))
        .cents(rng.random_range(99..90_000));
}

pub(super) fn product_text(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    // Every product number in turn gets two languages, as far as the rows reach.
    let product = index / 2 % plan.products + 1;
    let (language, words) = LANGUAGES[(product as usize + index as usize % 2) % LANGUAGES.len()];
    row.raw(product).text(language).text(&sentence(rng, words, 1, 4));
    if rng.random_bool(0.1) {
        row.null();
    } else {
        let most = if rng.random_bool(0.05) { 400 } else { 30 };
        row.text(&sentence(rng, words, 0, most));
    }
    if rng.random_bool(0.5) {
        row.text(&sentence(rng, words, 0, 3));
    } else {
        row.null();
    }
    row.text(&latin1(rng));
}

pub(super) fn order(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    row.raw(index + 1)
        .raw(plan.some_customer(rng))
        .text(pick(rng, &["done", "done", "done", "sent", "packed", "paid", "new", "cancelled"]))
        .raw(moment(plan.when(index, plan.orders, rng), 6))
        .cents(rng.random_range(100..200_000))
        .text(pick(rng, &["EUR", "EUR", "USD", "JPY"]));
    if rng.random_bool(0.9) {
        row.null();
    } else {
        row.text(&format!("COUPON-{}", rng.random_range(0..50)));
    }
    if rng.random_bool(0.7) {
        row.null();
    } else {
        row.text(&any_script(rng, 0, 5));
    }
}

pub(super) fn order_line(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let (order, line) = plan.order_of_line(index);
    row.raw(order)
        .raw(line)
        .raw(plan.some_product(rng))
        .raw(rng.random_range(1..12))
        .cents(rng.random_range(99..90_000));
    if rng.random_bool(0.8) {
        row.null();
    } else {
        row.cents(rng.random_range(0..5_000));
    }
}

pub(super) fn payment(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let order = index * plan.orders / (plan.rows * 60 / 1000).max(4) + 1;
    row.raw(index + 1)
        .raw(order.min(plan.orders))
        .text(&format!("P-{:08x}-{index}", rng.random::<u32>()))
        .text(pick(rng, &["card", "transfer", "invoice", "gift"]))
        .cents(rng.random_range(100..200_000));
    if rng.random_bool(0.4) {
        row.null();
    } else {
        row.raw(format_args!(
            "{}.{:010}",
            rng.random_range(0..90),
            rng.random_range(0..9_999_999_999_u64)
        ));
    }
    row.raw(moment(plan.when(index, plan.rows * 60 / 1000, rng), 0));
    if rng.random_bool(0.6) {
        row.null();
    } else {
        let length = rng.random_range(0..=64);
        row.bytes(&nasty_bytes(rng, length));
    }
}

pub(super) fn review(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    row.raw(index + 1).raw(plan.some_product(rng));
    if rng.random_bool(0.2) {
        row.null();
    } else {
        row.raw(plan.some_customer(rng));
    }
    row.raw(rng.random_range(1..=5));
    if rng.random_bool(0.2) {
        row.null();
    } else {
        row.text(&any_script(rng, 1, 5));
    }
    row.text(&english(rng, 3, 25)).raw(moment(plan.when(index, plan.rows * 15 / 1000, rng), 0));
}

pub(super) fn stock(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    // In key order: the warehouses one after the other.
    let a_warehouse = plan.products.div_ceil(4);
    row.text(["north", "south", "east", "west"][(index / a_warehouse % 4) as usize])
        .raw(index % a_warehouse + 1)
        .raw(rng.random_range(-5..1000))
        .text(pick(
            rng,
            &["", "fragile", "fragile,heavy", "cold,secret", "fragile,cold,heavy,secret"],
        ))
        .raw(format_args!("b'{:b}'", rng.random_range(0..4096)));
    if rng.random_bool(0.3) {
        row.null();
    } else {
        row.raw(pick(rng, &["1901", "2024", "2155", "0000"]));
    }
    if rng.random_bool(0.3) {
        row.null();
    } else {
        row.raw(date(rng.random_range(0..DAYS)));
    }
}

pub(super) fn page_view(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    // Now and then a row is written that equals many others in all its columns.
    if rng.random_bool(0.01) {
        row.raw("'2024-01-01 00:00:00.000'").null().text("/health").null().text("probe").raw(0);
        return;
    }
    row.raw(moment(plan.when(index, plan.views, rng), 3));
    if rng.random_bool(0.6) {
        row.null();
    } else {
        row.raw(plan.some_customer(rng));
    }
    row.text(&format!("/products/{}?q={:x}", plan.some_product(rng), rng.random::<u32>()));
    if rng.random_bool(0.5) {
        row.null();
    } else {
        row.text(pick(rng, &["https://search.example/", "https://example.org/a?b=c&d=%20", ""]));
    }
    row.text(pick(
        rng,
        &["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.9", "Mozilla/5.0 (Macintosh; \"Intel\")"],
    ));
    if rng.random_bool(0.1) {
        row.null();
    } else {
        row.raw(rng.random_range(0..4000));
    }
}

pub(super) fn event(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let of = plan.rows * 120 / 1000;
    row.raw(index + 1)
        .raw(date(plan.when(index, of, rng) / DAY))
        .text(pick(rng, &["login", "logout", "basket", "error", "mail"]))
        .raw(rng.random_range(-2..5));
    if rng.random_bool(0.5) {
        row.null();
    } else {
        row.text(&format!(
            r#"{{"user": {}, "ip": "10.0.{}.{}"}}"#,
            plan.some_customer(rng),
            rng.random_range(0..256),
            rng.random_range(0..256)
        ));
    }
}

pub(super) fn file(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let most = match index % 40 {
        0 => 0,
        1 => 200_000,
        2..10 => 20_000,
        _ => 2_000,
    };
    let length = rng.random_range(0..=most);
    let content = nasty_bytes(rng, length);
    row.raw(index + 1)
        .text(&format!("{}.bin", any_script(rng, 1, 2)))
        .text(pick(rng, &["application/octet-stream", "image/png", "text/plain"]));
    if index % 40 == 39 {
        row.null();
    } else {
        row.bytes(&content);
    }
    if rng.random_bool(0.5) {
        row.null();
    } else {
        let length = rng.random_range(0..=255);
        row.bytes(&nasty_bytes(rng, length));
    }
    row.bytes(&Sha256::digest(&content));
}

pub(super) fn session(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let mut id = [0; 16];
    rng.fill(&mut id);
    // Evenly spread and in key order, so that loading is quick and no two are equal.
    let of = (plan.rows * 5 / 1000).max(4);
    id[..8].copy_from_slice(&((u64::MAX / of) * index).to_be_bytes());
    if index % 50 == 7 {
        id[8..].copy_from_slice(b"\0\t\n\\',\x1a\0");
    }
    row.bytes(&id);
    if rng.random_bool(0.4) {
        row.null();
    } else {
        row.raw(plan.some_customer(rng));
    }
    let length = rng.random_range(0..=300);
    row.bytes(&nasty_bytes(rng, length)).raw(moment(rng.random_range(0..DAYS * DAY), 0));
}

pub(super) fn place(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let longitude = rng.random_range(-1_800_000..1_800_000) as f64 / 1e4;
    let latitude = rng.random_range(-890_000..890_000) as f64 / 1e4;
    let modern = plan.dialect == Dialect::Modern;
    let shape = |text: String| {
        if modern {
            format!("ST_GeomFromText('{text}', 4326, 'axis-order=long-lat')")
        } else {
            format!("ST_GeomFromText('{text}')")
        }
    };
    row.raw(index + 1)
        .text(&any_script(rng, 1, 3))
        .raw(shape(format!("POINT({longitude} {latitude})")));
    match rng.random_range(0..3) {
        0 => row.null(),
        1 => row.raw(shape(format!("LINESTRING({longitude} {latitude},0 0,1.5 -1.25)"))),
        _ => {
            row.raw(shape("POLYGON((0 0,2 0,2 2,0 2,0 0),(0.5 0.5,1 0.5,1 1,0.5 0.5))".to_owned()))
        }
    };
}

pub(super) fn weird(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    row.raw(index as i64 * 3 - 6);
    match index % 4 {
        0 => row.null(),
        1 => row.text(""),
        2 => row.text("it's \"a\" `b` \\ %s -- /* */ ;"),
        _ => row.text(&any_script(rng, 1, 3)),
    };
    row.raw(rng.random_range(-9..9))
        .raw(format_args!("-{}.5", rng.random_range(0..900)))
        .text(pick(rng, &["a", "a b", "", "ß"]));
}
