//! The transactions: what one worker of a shop does next.
//!
//! Owns what each transaction changes and the SQL for it. Every worker has its own ids above the
//! generator's and its own share of the generated rows, so a row has one writer and one order.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    ledger::Begin,
    rows::{Change, Table, Values, delete, insert, key_condition, update},
};

/// Ids that a worker has for itself.
pub(super) const SPAN: u64 = 1_000_000_000;
/// Own rows that a worker remembers in order to change them later.
const REMEMBERED: usize = 500;

/// One transaction: statements for the server, changes for the ledger.
#[derive(Default)]
pub(super) struct Transaction {
    pub(super) statements: Vec<String>,
    pub(super) changes: Vec<Change>,
}

/// What the worker should do.
pub(super) enum Next {
    Run(Transaction),
    /// Read version and price of this product first, then ask again.
    ReadProduct(u64),
}

struct Order {
    id: u64,
    lines: u64,
    payments: Vec<u64>,
    cents: u64,
}

/// One worker's view of the shop.
pub(super) struct Work {
    rng: StdRng,
    begin: Begin,
    worker: u32,
    index: u64,
    workers: u64,
    json: bool,
    orders: Vec<Order>,
    customers: Vec<(u64, serde_json::Value)>,
    sessions: Vec<(String, Values)>,
    products: BTreeMap<u64, Option<(u64, u64)>>,
    pending_product: Option<u64>,
}

fn table(name: &'static str) -> &'static Table {
    Table::named(name).unwrap_or(&super::rows::TABLES[0])
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn values<const N: usize>(pairs: [(&str, Option<String>); N]) -> Values {
    pairs.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now(format: &str) -> String {
    jiff::Timestamp::now().strftime(format).to_string()
}

const MICROS: &str = "%Y-%m-%d %H:%M:%S%.6f";
const NOTES: &[&str] =
    &["bitte klingeln", "It's \"urgent\" \\ 100%", "早く", "tab\tand\nline", "", "🙂", "Ευχαριστώ"];

impl Transaction {
    fn insert(&mut self, table: &Table, key: Vec<String>, values: Values) {
        self.statements.push(insert(table, &key, &values));
        self.changes.push(Change::write(table, key, values));
    }

    fn update(&mut self, table: &Table, key: Vec<String>, values: Values) {
        self.statements.push(update(table, &key, &values));
        self.changes.push(Change::write(table, key, values));
    }

    fn delete(&mut self, table: &Table, key: Vec<String>) {
        self.statements.push(delete(table, &key));
        self.changes.push(Change::delete(table, key));
    }
}

fn remember<T>(list: &mut Vec<T>, rng: &mut StdRng, item: T) {
    if list.len() >= REMEMBERED {
        list.swap_remove(rng.random_range(0..REMEMBERED));
    }
    list.push(item);
}

fn take<T>(list: &mut Vec<T>, rng: &mut StdRng) -> Option<T> {
    (!list.is_empty()).then(|| {
        let at = rng.random_range(0..list.len());
        list.swap_remove(at)
    })
}

impl Work {
    pub(super) fn new(
        begin: &Begin,
        index: u32,
        workers: u32,
        seed: u64,
        from: u64,
        json: bool,
    ) -> Self {
        let worker = begin.first_worker + index;
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&u64::from(worker).to_le_bytes());
        key[16..24].copy_from_slice(&from.to_le_bytes());
        Self {
            rng: StdRng::from_seed(key),
            begin: begin.clone(),
            worker,
            index: u64::from(index),
            workers: u64::from(workers),
            json,
            orders: Vec::new(),
            customers: Vec::new(),
            sessions: Vec::new(),
            products: BTreeMap::new(),
            pending_product: None,
        }
    }

    /// The id of what transaction `seq` creates.
    fn own_id(&self, seq: u64) -> u64 {
        self.begin.base + u64::from(self.worker - self.begin.first_worker) * SPAN + seq
    }

    /// A row number of this worker's share, counted from 1.
    fn own_share(&mut self, most: u64) -> Option<u64> {
        let id = self.rng.random_range(0..=most / self.workers) * self.workers + self.index;
        (1..=most).contains(&id).then_some(id)
    }

    fn any_customer(&mut self) -> u64 {
        self.rng.random_range(1..=self.begin.customers)
    }

    pub(super) fn know_product(&mut self, id: u64, found: Option<(u64, u64)>) {
        self.products.insert(id, found);
    }

    /// The transaction with this number; `seq` grows by one with each that is returned.
    pub(super) fn next(&mut self, seq: u64) -> Next {
        if let Some(id) = self.pending_product.take() {
            return Next::Run(self.price(id).unwrap_or_else(|| self.views(seq)));
        }
        let chosen = match self.rng.random_range(0..100) {
            0..30 => Some(self.order(seq)),
            30..42 => self.pay(seq),
            42..54 => self.update_customer(),
            54..66 => self.count_stock(),
            66..72 => self.cancel(),
            72..77 => Some(self.new_customer(seq)),
            77..83 => self.touch_profile(),
            83..87 => Some(self.new_session(seq)),
            87..90 => self.move_session(seq),
            90..92 => self.end_session(),
            92..95 => match self.own_share(self.begin.products) {
                Some(id) if self.products.contains_key(&id) => self.price(id),
                Some(id) => {
                    self.pending_product = Some(id);
                    return Next::ReadProduct(id);
                }
                None => None,
            },
            95..97 => Some(self.log(seq)),
            _ => None,
        };
        Next::Run(chosen.unwrap_or_else(|| self.views(seq)))
    }

    fn view(&mut self, tx: &mut Transaction, seq: u64, number: u32) {
        let customer = self.rng.random_bool(0.5).then(|| self.any_customer().to_string());
        let row = values([
            ("viewed_at", Some(now("%Y-%m-%d %H:%M:%S%.3f"))),
            ("customer_id", customer),
            ("url", Some(format!("/products/{}", self.rng.random_range(1..=self.begin.products)))),
            (
                "referrer",
                self.rng.random_bool(0.5).then(|| "https://example.org/?q='x'".to_owned()),
            ),
            ("agent", Some("shop-writer".to_owned())),
            ("ms", self.rng.random_bool(0.9).then(|| self.rng.random_range(0..900).to_string())),
        ]);
        tx.insert(table("page_views"), vec![format!("w{}.{seq}.{number}", self.worker)], row);
    }

    fn views(&mut self, seq: u64) -> Transaction {
        let mut tx = Transaction::default();
        for number in 0..self.rng.random_range(1..=3) {
            self.view(&mut tx, seq, number);
        }
        tx
    }

    fn order(&mut self, seq: u64) -> Transaction {
        let mut tx = Transaction::default();
        let id = self.own_id(seq);
        let lines = self.rng.random_range(1..=4);
        let mut cents = 0;
        let mut rows = Vec::new();
        for _ in 0..lines {
            let (quantity, price) =
                (self.rng.random_range(1..9), self.rng.random_range(99..90_000));
            cents += quantity * price;
            rows.push(values([
                ("product_id", Some(self.rng.random_range(1..=self.begin.products).to_string())),
                ("quantity", Some(quantity.to_string())),
                ("unit_price", Some(money(price))),
                ("discount", self.rng.random_bool(0.3).then(|| "2.50".to_owned())),
            ]));
        }
        let note = self
            .rng
            .random_bool(0.4)
            .then(|| NOTES[self.rng.random_range(0..NOTES.len())].to_owned());
        let order = values([
            ("customer_id", Some(self.any_customer().to_string())),
            ("status", Some("new".to_owned())),
            ("ordered_at", Some(now(MICROS))),
            ("total", Some(money(cents))),
            ("currency", Some("EUR".to_owned())),
            ("note", note),
        ]);
        tx.insert(table("orders"), vec![id.to_string()], order);
        for (number, row) in rows.into_iter().enumerate() {
            tx.insert(table("order_lines"), vec![id.to_string(), (number + 1).to_string()], row);
        }
        if self.rng.random_bool(0.5) {
            self.view(&mut tx, seq, 0);
        }
        remember(&mut self.orders, &mut self.rng, Order { id, lines, payments: Vec::new(), cents });
        tx
    }

    fn pay(&mut self, seq: u64) -> Option<Transaction> {
        let mut order = take(&mut self.orders, &mut self.rng)?;
        let mut tx = Transaction::default();
        let id = self.own_id(seq);
        let raw: [u8; 12] = self.rng.random();
        let payment = values([
            ("order_id", Some(order.id.to_string())),
            ("reference", Some(format!("W{}-{seq}", self.worker))),
            ("method", Some("card".to_owned())),
            ("amount", Some(money(order.cents))),
            (
                "fee",
                self.rng
                    .random_bool(0.5)
                    .then(|| format!("0.{:010}", self.rng.random_range(0..1_000_000))),
            ),
            ("paid_at", Some(now("%Y-%m-%d %H:%M:%S"))),
            ("raw", self.rng.random_bool(0.5).then(|| hex(&raw))),
        ]);
        tx.insert(table("payments"), vec![id.to_string()], payment);
        let paid = values([("status", Some("paid".to_owned()))]);
        tx.update(table("orders"), vec![order.id.to_string()], paid);
        order.payments.push(id);
        remember(&mut self.orders, &mut self.rng, order);
        Some(tx)
    }

    /// Deletes an own order; in half of the cases its lines go by the foreign key's cascade.
    fn cancel(&mut self) -> Option<Transaction> {
        let order = take(&mut self.orders, &mut self.rng)?;
        let mut tx = Transaction::default();
        for payment in &order.payments {
            tx.delete(table("payments"), vec![payment.to_string()]);
        }
        let cascade = self.rng.random_bool(0.5);
        for number in 1..=order.lines {
            let key = vec![order.id.to_string(), number.to_string()];
            if cascade {
                tx.changes.push(Change::delete(table("order_lines"), key));
            } else {
                tx.delete(table("order_lines"), key);
            }
        }
        tx.delete(table("orders"), vec![order.id.to_string()]);
        Some(tx)
    }

    fn update_customer(&mut self) -> Option<Transaction> {
        let id = self.own_share(self.begin.customers)?;
        let score =
            self.rng.random_bool(0.8).then(|| format!("{:e}", self.rng.random::<f64>() * 1e9));
        let mut tx = Transaction::default();
        let row = values([
            ("points", Some(self.rng.random_range(0..100_000).to_string())),
            (
                "credit",
                Some(format!(
                    "{}.{:04}",
                    self.rng.random_range(-900..900),
                    self.rng.random_range(1..10_000)
                )),
            ),
            ("score", score),
            ("updated_at", Some(now(MICROS))),
        ]);
        tx.update(table("customers"), vec![id.to_string()], row);
        Some(tx)
    }

    fn count_stock(&mut self) -> Option<Transaction> {
        let warehouse = self.rng.random_range(0..4_u64);
        let product = self.rng.random_range(0..=self.begin.stocked / self.workers) * self.workers
            + (self.index + warehouse) % self.workers;
        if !(1..=self.begin.stocked).contains(&product) {
            return None;
        }
        let name = ["north", "south", "east", "west"][warehouse as usize];
        let flags = ["", "fragile", "cold,heavy"][self.rng.random_range(0..3)];
        let mut tx = Transaction::default();
        let row = values([
            ("quantity", Some(self.rng.random_range(-10..500).to_string())),
            ("flags", Some(flags.to_owned())),
            ("counted_on", self.rng.random_bool(0.8).then(|| now("%Y-%m-%d"))),
        ]);
        tx.update(table("stock"), vec![name.to_owned(), product.to_string()], row);
        Some(tx)
    }

    fn new_customer(&mut self, seq: u64) -> Transaction {
        let id = self.own_id(seq);
        let profile =
            json!({"visits": 0, "from": "writer", "names": ["Zoë", null, "O'Neil \\ \"x\""]});
        let mut tx = Transaction::default();
        let row = values([
            ("email", Some(format!("w{}.{seq}@writer.example", self.worker))),
            ("name", Some("Zoë O'Neil".to_owned())),
            ("country", Some("GR".to_owned())),
            ("points", Some("0".to_owned())),
            ("credit", Some("0.0000".to_owned())),
            ("score", None),
            ("profile", Some(profile.to_string())),
            ("created_at", Some(now("%Y-%m-%d %H:%M:%S%.3f"))),
            ("updated_at", Some(now(MICROS))),
        ]);
        tx.insert(table("customers"), vec![id.to_string()], row);
        remember(&mut self.customers, &mut self.rng, (id, profile));
        tx
    }

    /// Changes parts of a JSON document in place, which the binary log may carry as a difference.
    fn touch_profile(&mut self) -> Option<Transaction> {
        let (id, mut profile) = take(&mut self.customers, &mut self.rng)?;
        let visits: u32 = self.rng.random();
        profile["visits"] = json!(visits);
        profile["last"] = json!({"ms": visits % 1000, "ok": true});
        let customers = table("customers");
        let key = vec![id.to_string()];
        // The column is ON UPDATE CURRENT_TIMESTAMP: written here, or it could not be expected.
        let at = now(MICROS);
        let written =
            values([("profile", Some(profile.to_string())), ("updated_at", Some(at.clone()))]);
        let statement = if self.json {
            format!(
                "UPDATE customers SET profile = JSON_SET(profile, '$.visits', {visits}, '$.last', \
                 JSON_OBJECT('ms', {}, 'ok', TRUE)), updated_at = '{at}' WHERE {}",
                visits % 1000,
                key_condition(customers, &key)
            )
        } else {
            update(customers, &key, &written)
        };
        let tx = Transaction {
            statements: vec![statement],
            changes: vec![Change::write(customers, key, written)],
        };
        remember(&mut self.customers, &mut self.rng, (id, profile));
        Some(tx)
    }

    fn session_id(&self, seq: u64) -> String {
        let digest = Sha256::digest(format!("{}.{}.{seq}", self.begin.base, self.worker));
        hex(&digest[..16])
    }

    fn new_session(&mut self, seq: u64) -> Transaction {
        let id = self.session_id(seq);
        let mut data = vec![0; self.rng.random_range(0..60)];
        self.rng.fill(&mut data[..]);
        data.extend_from_slice(b"\0\t\n\\'");
        let mut tx = Transaction::default();
        let row = values([
            ("customer_id", self.rng.random_bool(0.7).then(|| self.any_customer().to_string())),
            ("data", Some(hex(&data))),
            ("expires_at", Some("2040-01-01 00:00:00".to_owned())),
        ]);
        tx.insert(table("sessions"), vec![id.clone()], row.clone());
        remember(&mut self.sessions, &mut self.rng, (id, row));
        tx
    }

    /// Changes a primary key.
    fn move_session(&mut self, seq: u64) -> Option<Transaction> {
        let (old, row) = take(&mut self.sessions, &mut self.rng)?;
        let new = self.session_id(seq);
        let sessions = table("sessions");
        let tx = Transaction {
            statements: vec![format!(
                "UPDATE sessions SET id = x'{new}' WHERE {}",
                key_condition(sessions, std::slice::from_ref(&old))
            )],
            changes: vec![
                Change::delete(sessions, vec![old]),
                Change::write(sessions, vec![new.clone()], row.clone()),
            ],
        };
        remember(&mut self.sessions, &mut self.rng, (new, row));
        Some(tx)
    }

    fn end_session(&mut self) -> Option<Transaction> {
        let (id, _) = take(&mut self.sessions, &mut self.rng)?;
        let mut tx = Transaction::default();
        tx.delete(table("sessions"), vec![id]);
        Some(tx)
    }

    /// Changes a price; the row in `price_log` is the trigger's, and expected of it.
    fn price(&mut self, id: u64) -> Option<Transaction> {
        let (version, old) = (*self.products.get(&id)?)?;
        let new = self.rng.random_range(99..90_000);
        let mut tx = Transaction::default();
        let row =
            values([("price", Some(money(new))), ("version", Some((version + 1).to_string()))]);
        tx.update(table("products"), vec![id.to_string()], row);
        let logged = values([("old_price", Some(money(old))), ("new_price", Some(money(new)))]);
        let key = vec![id.to_string(), (version + 1).to_string()];
        tx.changes.push(Change::write(table("price_log"), key, logged));
        self.products.insert(id, Some((version + 1, new)));
        Some(tx)
    }

    fn log(&mut self, seq: u64) -> Transaction {
        let day = ["2022-12-31", "2023-01-01", "2024-02-29", "2025-06-15", "2031-01-01"];
        let mut tx = Transaction::default();
        let key = vec![self.own_id(seq).to_string(), day[self.rng.random_range(0..5)].to_owned()];
        let row = values([
            ("kind", Some("writer".to_owned())),
            ("level", Some(self.rng.random_range(-2..5).to_string())),
            (
                "payload",
                self.rng
                    .random_bool(0.5)
                    .then(|| json!({"n": self.rng.random::<i32>()}).to_string()),
            ),
        ]);
        tx.insert(table("events_log"), key, row);
        tx
    }
}
