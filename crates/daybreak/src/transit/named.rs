//! Many things with names, in little memory: a backup may have a million files, and an upload as many objects.
//!
//! All names lie in one text, and each thing knows where its own is: sixteen bytes beside the name, where a
//! string and a node of a map would take five times as much.

use std::ops::Range;

/// Things by name, in the order in which they came until they are sorted.
#[derive(Clone)]
pub struct Named<T> {
    text: String,
    items: Vec<Item<T>>,
}

#[derive(Clone)]
struct Item<T> {
    name: Range<usize>,
    value: T,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named { text: String::new(), items: Vec::new() }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T: PartialEq> PartialEq for Named<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Named<T> {}

impl<T> Named<T> {
    /// Adds one at the end.
    pub fn push(&mut self, name: &str, value: T) {
        let start = self.text.len();
        self.text.push_str(name);
        self.items.push(Item { name: start..self.text.len(), value });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many bytes of memory they take, but for what a thing has elsewhere.
    pub fn bytes(&self) -> u64 {
        (self.text.len() + self.items.len() * size_of::<Item<T>>()) as u64
    }

    /// The one at a place.
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&self, place: usize) -> (&str, &T) {
        let item = &self.items[place];
        (&self.text[item.name.clone()], &item.value)
    }

    /// The value at a place, if there is one.
    pub fn value_mut(&mut self, place: usize) -> Option<&mut T> {
        self.items.get_mut(place).map(|item| &mut item.value)
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &T)> + Clone {
        self.items.iter().map(|item| (&self.text[item.name.clone()], &item.value))
    }

    /// Sorts by the bytes of the names; of those with the same name the one that came last is the last.
    pub fn sort(&mut self) {
        let text = self.text.as_bytes();
        self.items.sort_unstable_by(|a, b| {
            text[a.name.clone()]
                .cmp(&text[b.name.clone()])
                .then_with(|| a.name.start.cmp(&b.name.start))
        });
    }

    /// Keeps those that fit.
    pub fn retain(&mut self, mut fits: impl FnMut(&T) -> bool) {
        self.items.retain(|item| fits(&item.value));
    }

    /// Sorts, and of those with the same name keeps the one that came last.
    pub fn sort_and_keep_last(&mut self) {
        self.sort();
        let text = self.text.as_bytes();
        self.items.dedup_by(|later, kept| {
            let same = text[later.name.clone()] == text[kept.name.clone()];
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
    }

    /// Where one of this name is. They must be sorted.
    pub fn find(&self, name: &str) -> Option<usize> {
        let text = self.text.as_bytes();
        self.items.binary_search_by(|item| text[item.name.clone()].cmp(name.as_bytes())).ok()
    }

    /// Those whose names begin so. They must be sorted.
    pub fn beginning(&self, with: &str) -> Range<usize> {
        let text = self.text.as_bytes();
        let before = |item: &Item<T>| &text[item.name.clone()] < with.as_bytes();
        let start = self.items.partition_point(before);
        let begins = |item: &Item<T>| text[item.name.clone()].starts_with(with.as_bytes());
        start..start + self.items[start..].partition_point(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts_and_names_are_found() {
        let mut all = Named::default();
        for (name, value) in [("b/x", 1), ("a", 2), ("b", 3), ("a", 4), ("b.c/x", 5), ("a", 6)] {
            all.push(name, value);
        }
        assert_eq!(all.at(3), ("a", &4));
        all.sort_and_keep_last();
        let seen: Vec<_> = all.iter().map(|(name, value)| (name, *value)).collect();
        assert_eq!(seen, [("a", 6), ("b", 3), ("b.c/x", 5), ("b/x", 1)]);
        assert_eq!((all.find("b"), all.find("b/"), all.find("c")), (Some(1), None, None));
        assert_eq!(
            (all.beginning("b"), all.beginning("b/"), all.beginning("c")),
            (1..4, 3..4, 4..4)
        );
        assert_eq!((all.beginning("").len(), all.len()), (4, 4));
        all.retain(|value| *value > 3);
        assert_eq!(all.len(), 2);
        assert!(all.bytes() > 32);
    }
}
