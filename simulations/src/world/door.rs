//! A way into a process for whoever asks it something. It may outlive the process and be the last that holds what was open
//! there; a crash runs no destructors, so it lets go of that as whoever buries the process does. Must not know what
//! is asked.

use std::ops::Deref;

use super::stage::bury;

/// See the module.
#[derive(Debug)]
pub struct Door<T>(Option<T>);

impl<T> Door<T> {
    pub(super) fn to(handle: T) -> Door<T> {
        Door(Some(handle))
    }
}

impl<T> Deref for Door<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only its end takes it out")
    }
}

impl<T> Drop for Door<T> {
    fn drop(&mut self) {
        let handle = self.0.take();
        bury(|| drop(handle));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    /// As a database does whose lock somebody poisoned.
    struct Trips(Mutex<()>);

    impl Drop for Trips {
        fn drop(&mut self) {
            drop(self.0.lock().expect("poisoned"));
        }
    }

    #[test]
    fn what_trips_over_a_dead_process_is_not_heard() {
        let trips = Trips(Mutex::new(()));
        let poisons = || panic!("while it holds {:?}", trips.0.lock());
        thread::scope(|scope| scope.spawn(poisons).join().expect_err("it panics"));
        assert!(trips.0.is_poisoned());
        drop(Door::to(trips));
    }
}
