//! Things known by a small number that is used again after they are gone.
//! Must not know what the things are.

/// Holds things at indices that never move; a removed one's index is given to a later one.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(thing);
            return index;
        }
        self.entries.push(Some(thing));
        u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 things fit into memory")
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        self.free.push(index);
        self.entries[index as usize].take().expect("an index is removed once")
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        self.entries[index as usize].as_ref().expect("an index is used while its thing is there")
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.entries[index as usize].as_mut().expect("an index is used while its thing is there")
    }
}
