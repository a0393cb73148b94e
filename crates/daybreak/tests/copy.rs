//! The copy against real servers: what arrives is what was there, whatever happens on the way.
//!
//! Both sides are compared by other ways than the one that carried the rows: `CHECKSUM TABLE` (the
//! engine's own bytes) and values in hexadecimal.

mod copy {
    mod columns;
    mod filters;
    pub mod harness;
    mod interruptions;
    mod json;
    mod keys;
    mod lag;
    mod links;
    mod loaders;
    mod locks;
    mod products;
    mod stopped;
    mod types;
}
