//! Slab: values under small numbers that are used again.

#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = Some(value);
            return index;
        }
        let index = u32::try_from(self.places.len()).expect("fewer than 2^32 values");
        self.places.push(Some(value));
        index
    }

    /// Empties a place. When the last value goes, the memory goes too.
    pub(super) fn remove(&mut self, index: u32) {
        let old = self.places[index as usize].take();
        assert!(old.is_some(), "a value is removed from its slab once");
        self.free.push(index);
        if self.free.len() == self.places.len() {
            *self = Slab::default();
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The values under `first` and above, with their numbers.
    pub(super) fn iter_from(&self, first: u32) -> impl Iterator<Item = (u32, &T)> {
        let places = self.places.get(first as usize..).unwrap_or_default();
        (first..).zip(places).filter_map(|(index, place)| Some((index, place.as_ref()?)))
    }
}
