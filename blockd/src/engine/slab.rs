//! Values that keep their index.

/// A vector whose free slots are used again.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub fn insert(&mut self, value: T) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.slots[index] = Some(value);
                index
            }
            None => {
                self.slots.push(Some(value));
                self.slots.len() - 1
            }
        }
    }

    pub fn get(&self, index: usize) -> &T {
        self.slots[index].as_ref().expect("an index lives until its value is removed")
    }

    pub fn get_mut(&mut self, index: usize) -> &mut T {
        self.slots[index].as_mut().expect("an index lives until its value is removed")
    }

    pub fn remove(&mut self, index: usize) -> T {
        self.free.push(index);
        self.slots[index].take().expect("an index lives until its value is removed")
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
