//! How large each table is, and what its rows may refer to.
//!
//! Owns the share of every table, the seeds and the keys that exist; `rows` fills them.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{quote_name, rows, schema::Dialect, values::RowText, zoo};

pub(super) const DAY: u64 = 86_400_000_000;
/// The history spans 2022-01-01 to the middle of 2026.
pub(super) const DAYS: u64 = 1_630;

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
    pub(super) categories: u64,
    pub(super) customers: u64,
    pub(super) products: u64,
    pub(super) orders: u64,
    pub(super) lines: u64,
    pub(super) views: u64,
    pub(super) rows: u64,
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
        self.tables().iter().map(|table| (table.name.to_owned(), table.rows)).collect()
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
        format!("INSERT INTO {} ({}) VALUES ", quote_name(table.name), columns.join(","))
    }

    pub(super) fn tables(&self) -> Vec<TableRows> {
        let share = |per_mille: u64| (self.rows * per_mille / 1000).max(4);
        let mut number = 0;
        let mut table =
            |name, rows, columns: &'static [&'static str], write: WriteRow| -> TableRows {
                number += 1;
                TableRows { number, name, columns, rows, write }
            };
        vec![
            table(
                "categories",
                self.categories,
                &["id", "parent_id", "name", "slug", "position"],
                rows::category,
            ),
            table("departments", 6, &["id", "name", "manager_id"], rows::department),
            table(
                "employees",
                24,
                &["id", "department_id", "boss_id", "name", "hired_on", "salary"],
                rows::employee,
            ),
            table(
                "customers",
                self.customers,
                &[
                    "id",
                    "email",
                    "name",
                    "country",
                    "birth_date",
                    "points",
                    "credit",
                    "score",
                    "profile",
                    "created_at",
                    "updated_at",
                ],
                rows::customer,
            ),
            table(
                "addresses",
                share(30),
                &["id", "customer_id", "kind", "street", "city", "zip", "remarks"],
                rows::address,
            ),
            table(
                "products",
                self.products,
                &[
                    "id",
                    "category_id",
                    "sku",
                    "name",
                    "price",
                    "tax",
                    "weight",
                    "version",
                    "active",
                    "attributes",
                ],
                rows::product,
            ),
            table(
                "price_log",
                self.products / 2,
                &["product_id", "version", "old_price", "new_price"],
                rows::price_change,
            ),
            table(
                "product_texts",
                self.products,
                &["product_id", "language", "title", "body", "slogan", "legacy"],
                rows::product_text,
            ),
            table(
                "orders",
                self.orders,
                &[
                    "id",
                    "customer_id",
                    "status",
                    "ordered_at",
                    "total",
                    "currency",
                    "coupon",
                    "note",
                ],
                rows::order,
            ),
            table(
                "order_lines",
                self.lines,
                &["order_id", "line_no", "product_id", "quantity", "unit_price", "discount"],
                rows::order_line,
            ),
            table(
                "payments",
                share(60),
                &["id", "order_id", "reference", "method", "amount", "fee", "paid_at", "raw"],
                rows::payment,
            ),
            table(
                "reviews",
                share(15),
                &["id", "product_id", "customer_id", "stars", "title", "body", "written_at"],
                rows::review,
            ),
            table(
                "stock",
                self.products,
                &["warehouse", "product_id", "quantity", "flags", "shelf", "season", "counted_on"],
                rows::stock,
            ),
            table(
                "page_views",
                self.views,
                &["viewed_at", "customer_id", "url", "referrer", "agent", "ms"],
                rows::page_view,
            ),
            table(
                "events_log",
                share(120),
                &["id", "happened_on", "kind", "level", "payload"],
                rows::event,
            ),
            table(
                "files",
                share(3),
                &["id", "name", "mime", "content", "thumbnail", "digest"],
                rows::file,
            ),
            table(
                "sessions",
                share(5),
                &["id", "customer_id", "data", "expires_at"],
                rows::session,
            ),
            table("places", share(4), &["id", "name", "location", "area"], rows::place),
            table("types_zoo", (self.rows / 100).clamp(24, 2000), &[], zoo::row),
            table(
                "we`ird \"näme\" ☃ 100%_a.b",
                share(1),
                &["a`b", "the \"value\", of", "order", "größe in m²", " lead"],
                rows::weird,
            ),
        ]
    }

    /// The order that a line belongs to, and its number there: as even as whole numbers allow.
    pub(super) fn order_of_line(&self, index: u64) -> (u64, u64) {
        let order = ((index + 1) * self.orders).div_ceil(self.lines);
        (order, index - (order - 1) * self.lines / self.orders + 1)
    }

    /// Regular customers order more often than others.
    pub(super) fn some_customer(&self, rng: &mut StdRng) -> u64 {
        let u: f64 = rng.random();
        // Truncation is meant: 0 <= u*u < 1.
        ((u * u * self.customers as f64) as u64).min(self.customers - 1) + 1
    }

    pub(super) fn some_product(&self, rng: &mut StdRng) -> u64 {
        rng.random_range(1..=self.products)
    }

    /// A moment that grows with the row number.
    pub(super) fn when(&self, index: u64, of: u64, rng: &mut StdRng) -> u64 {
        let step = DAYS * DAY / of.max(1);
        index * step + rng.random_range(0..step.max(1))
    }
}
