//! The rows of every table, as a function of seed, table and row number.
//!
//! Owns how many rows each table gets and what is in them; `zoo` has the table of all types.
//! A row never depends on the rows before it, save through the generator that they share.

use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

use super::{
    quote_name,
    schema::Dialect,
    values::{
        LANGUAGES, RowText, any_script, date, english, latin1, moment, nasty_bytes, person, pick,
        sentence,
    },
    zoo,
};

const DAY: u64 = 86_400_000_000;
/// The history spans 2022-01-01 to the middle of 2026.
const DAYS: u64 = 1_630;

pub(super) type WriteRow = fn(&Plan, u64, &mut StdRng, &mut RowText);

/// One table's share of the work.
#[derive(Clone)]
pub(super) struct TableRows {
    /// Its place in the schema; seeds its random numbers.
    pub(super) number: u64,
    pub(super) name: &'static str,
    columns: &'static [&'static str],
    pub(super) rows: u64,
    pub(super) write: WriteRow,
}

/// How many rows each table gets, and the seed.
pub(super) struct Plan {
    seed: u64,
    pub(super) dialect: Dialect,
    categories: u64,
    customers: u64,
    products: u64,
    orders: u64,
    lines: u64,
    views: u64,
    rows: u64,
}

impl Plan {
    pub(super) fn new(rows: u64, seed: u64, dialect: Dialect) -> Self {
        let rows = rows.max(super::ShopOptions::MIN_ROWS);
        let share = |per_mille: u64| (rows * per_mille / 1000).max(4);
        let mut plan = Self {
            seed,
            dialect,
            categories: (rows / 2000).clamp(8, 400),
            customers: share(40),
            products: share(10).max(8),
            orders: share(140),
            lines: share(350),
            views: 0,
            rows,
        };
        let others: u64 = plan.tables().iter().map(|table| table.rows).sum();
        plan.views = rows.saturating_sub(others);
        plan
    }

    pub(super) fn total(&self) -> u64 {
        self.tables().iter().map(|table| table.rows).sum()
    }

    pub(super) fn summary(&self) -> Vec<(String, u64)> {
        self.tables()
            .iter()
            .map(|table| (table.name.to_owned(), table.rows))
            .collect()
    }

    pub(super) fn random(&self, table: u64, block: u64) -> StdRng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&table.to_le_bytes());
        key[16..24].copy_from_slice(&block.to_le_bytes());
        StdRng::from_seed(key)
    }

    pub(super) fn insert_head(&self, table: &TableRows) -> String {
        let columns: Vec<String> = if table.name == "types_zoo" {
            zoo::columns(self.dialect)
        } else {
            table.columns.iter().map(|name| quote_name(name)).collect()
        };
        format!(
            "INSERT INTO {} ({}) VALUES ",
            quote_name(table.name),
            columns.join(",")
        )
    }

    pub(super) fn tables(&self) -> Vec<TableRows> {
        let share = |per_mille: u64| (self.rows * per_mille / 1000).max(4);
        let mut number = 0;
        let mut table =
            |name, rows, columns: &'static [&'static str], write: WriteRow| -> TableRows {
                number += 1;
                TableRows {
                    number,
                    name,
                    columns,
                    rows,
                    write,
                }
            };
        vec![
            table("categories", self.categories, &["id", "parent_id", "name", "slug", "position"], category),
            table("departments", 6, &["id", "name", "manager_id"], department),
            table("employees", 24, &["id", "department_id", "boss_id", "name", "hired_on", "salary"], employee),
            table("customers", self.customers, &["id", "email", "name", "country", "birth_date", "points", "credit", "score", "profile", "created_at", "updated_at"], customer),
            table("addresses", share(30), &["id", "customer_id", "kind", "street", "city", "zip", "remarks"], address),
            table("products", self.products, &["id", "category_id", "sku", "name", "price", "tax", "weight", "version", "active", "attributes"], product),
            table("price_log", self.products / 2, &["product_id", "version", "old_price", "new_price"], price_change),
            table("product_texts", self.products, &["product_id", "language", "title", "body", "slogan", "legacy"], product_text),
            table("orders", self.orders, &["id", "customer_id", "status", "ordered_at", "total", "currency", "coupon", "note"], order),
            table("order_lines", self.lines, &["order_id", "line_no", "product_id", "quantity", "unit_price", "discount"], order_line),
            table("payments", share(60), &["id", "order_id", "reference", "method", "amount", "fee", "paid_at", "raw"], payment),
            table("reviews", share(15), &["id", "product_id", "customer_id", "stars", "title", "body", "written_at"], review),
            table("stock", self.products, &["warehouse", "product_id", "quantity", "flags", "shelf", "season", "counted_on"], stock),
            table("page_views", self.views, &["viewed_at", "customer_id", "url", "referrer", "agent", "ms"], page_view),
            table("events_log", share(120), &["id", "happened_on", "kind", "level", "payload"], event),
            table("files", share(3), &["id", "name", "mime", "content", "thumbnail", "digest"], file),
            table("sessions", share(5), &["id", "customer_id", "data", "expires_at"], session),
            table("places", share(4), &["id", "name", "location", "area"], place),
            table("types_zoo", (self.rows / 100).clamp(24, 2000), &[], zoo::row),
            table("we`ird \"näme\" ☃ 100%_a.b", share(1), &["a`b", "the \"value\", of", "order", "größe in m²", " lead"], weird),
        ]
    }

    /// The order that a line belongs to, and its number there: as even as whole numbers allow.
    fn order_of_line(&self, index: u64) -> (u64, u64) {
        let order = ((index + 1) * self.orders).div_ceil(self.lines);
        (order, index - (order - 1) * self.lines / self.orders + 1)
    }

    /// Regular customers order more often than others.
    fn some_customer(&self, rng: &mut StdRng) -> u64 {
        let u: f64 = rng.random();
        // Truncation is meant: 0 <= u*u < 1.
        ((u * u * self.customers as f64) as u64).min(self.customers - 1) + 1
    }

    fn some_product(&self, rng: &mut StdRng) -> u64 {
        rng.random_range(1..=self.products)
    }

    /// A moment that grows with the row number.
    fn when(&self, index: u64, of: u64, rng: &mut StdRng) -> u64 {
        let step = DAYS * DAY / of.max(1);
        index * step + rng.random_range(0..step.max(1))
    }
}

fn category(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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

fn department(_: &Plan, index: u64, _: &mut StdRng, row: &mut RowText) {
    let names = ["Einkauf", "Verkauf", "倉庫", "R&D", "O'Hara's", "\"Office\""];
    row.raw(index + 1).text(names[index as usize % 6]);
    if index == 5 {
        row.null();
    } else {
        row.raw(index + 1);
    }
}

fn employee(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    row.raw(index + 1).raw(index % 6 + 1);
    if index == 0 {
        row.null();
    } else {
        row.raw(rng.random_range(1..=index));
    }
    row.text(&person(rng)).raw(date(rng.random_range(0..900)));
    if index % 7 == 0 {
        row.null();
    } else {
        row.cents(rng.random_range(200_000..900_000));
    }
}

fn customer(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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

fn address(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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

fn product(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let id = index + 1;
    row.raw(id)
        .raw(rng.random_range(1..=plan.categories))
        .text(&format!("{}-{id}", if id % 2 == 0 { "Ab" } else { "aB" }))
        .text(&any_script(rng, 1, 4))
        .cents(rng.random_range(99..90_000))
        .text(pick(rng, &["0.1900", "0.0700", "0.0000", "0.2550"]));
    if rng.random_bool(0.2) {
        row.null();
    } else {
        row.raw(rng.random::<f32>() * 100.0);
    }
    row.raw(u64::from(index < plan.products / 2))
        .raw(u8::from(rng.random_bool(0.9)));
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

fn price_change(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    row.raw(index + 1)
        .raw(1)
        .cents(rng.random_range(99..90_000))
        .cents(rng.random_range(99..90_000));
}

fn product_text(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    // Every product number in turn gets two languages, as far as the rows reach.
    let product = index / 2 % plan.products + 1;
    let (language, words) = LANGUAGES[(product as usize + index as usize % 2) % LANGUAGES.len()];
    row.raw(product)
        .text(language)
        .text(&sentence(rng, words, 1, 4));
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

fn order(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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

fn order_line(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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

fn payment(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    let order = index * plan.orders / (plan.rows * 60 / 1000).max(4) + 1;
    row.raw(index + 1)
        .raw(order.min(plan.orders))
        .text(&format!("P-{:08x}-{index}", rng.random::<u32>()))
        .text(pick(rng, &["card", "transfer", "invoice", "gift"]))
        .cents(rng.random_range(100..200_000));
    if rng.random_bool(0.4) {
        row.null();
    } else {
        row.raw(format_args!("{}.{:010}", rng.random_range(0..90), rng.random_range(0..9_999_999_999_u64)));
    }
    row.raw(moment(plan.when(index, plan.rows * 60 / 1000, rng), 0));
    if rng.random_bool(0.6) {
        row.null();
    } else {
        let length = rng.random_range(0..=64);
        row.bytes(&nasty_bytes(rng, length));
    }
}

fn review(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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
    row.text(&english(rng, 3, 25))
        .raw(moment(plan.when(index, plan.rows * 15 / 1000, rng), 0));
}

fn stock(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    // In key order: the warehouses one after the other.
    let a_warehouse = plan.products.div_ceil(4);
    row.text(["north", "south", "east", "west"][(index / a_warehouse % 4) as usize])
        .raw(index % a_warehouse + 1)
        .raw(rng.random_range(-5..1000))
        .text(pick(rng, &["", "fragile", "fragile,heavy", "cold,secret", "fragile,cold,heavy,secret"]))
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

fn page_view(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
    // Now and then a row is written that equals many others in all its columns.
    if rng.random_bool(0.01) {
        row.raw("'2024-01-01 00:00:00.000'")
            .null()
            .text("/health")
            .null()
            .text("probe")
            .raw(0);
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
    row.text(pick(rng, &["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.9", "Mozilla/5.0 (Macintosh; \"Intel\")"]));
    if rng.random_bool(0.1) {
        row.null();
    } else {
        row.raw(rng.random_range(0..4000));
    }
}

fn event(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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

fn file(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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

fn session(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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
    row.bytes(&nasty_bytes(rng, length))
        .raw(moment(rng.random_range(0..DAYS * DAY), 0));
}

fn place(plan: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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
        _ => row.raw(shape("POLYGON((0 0,2 0,2 2,0 2,0 0),(0.5 0.5,1 0.5,1 1,0.5 0.5))".to_owned())),
    };
}

fn weird(_: &Plan, index: u64, rng: &mut StdRng, row: &mut RowText) {
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
