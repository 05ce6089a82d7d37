//! Faults that hold for one thing at the same time: each is taken back by itself, in any order, and leaves the others.
//! Must not know what they do.

use std::collections::BTreeMap;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layer(u64);

/// In the order in which they began.
#[derive(Debug)]
pub(super) struct Layers<T> {
    begun: u64,
    held: BTreeMap<Layer, T>,
}

impl<T> Layers<T> {
    pub(super) const NONE: Layers<T> = Layers { begun: 0, held: BTreeMap::new() };

    pub(super) fn add(&mut self, what: T) -> Layer {
        self.begun += 1;
        let layer = Layer(self.begun);
        self.held.insert(layer, what);
        layer
    }

    /// Nothing when all was cleared before.
    pub(super) fn remove(&mut self, layer: Layer) {
        self.held.remove(&layer);
    }

    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.held.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ends_by_itself() {
        let mut layers = Layers::NONE;
        let (first, second) = (layers.add('a'), layers.add('b'));
        let held = |layers: &Layers<char>| layers.all().collect::<String>();
        assert_eq!(held(&layers), "ab");
        layers.remove(first);
        assert_eq!(held(&layers), "b");
        let third = layers.add('c');
        layers.remove(second);
        assert_eq!(held(&layers), "c");
        layers.clear();
        layers.remove(third);
        assert_eq!(held(&layers), "");
    }
}
