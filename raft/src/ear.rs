//! A thread's ear: who hears what this thread's replicas and actors do. Outside a simulated world nobody listens, and all
//! that is asked then is a thread's own flag, beside the listener and not in it: a value that is dropped costs each look
//! at it a branch more. Must not know what is heard.

/// An ear for listeners of one kind: `ear!(Listener)` gives the module `listen`, `deafen`, `is_heard` and `with`.
#[macro_export]
macro_rules! ear {
    ($listener:ident) => {
        thread_local! {
            static HEARD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
            static LISTENER: std::cell::RefCell<Option<Box<dyn $listener>>> =
                const { std::cell::RefCell::new(None) };
        }

        /// From now on this thread is heard.
        pub fn listen(listener: Box<dyn $listener>) {
            LISTENER.set(Some(listener));
            HEARD.set(true);
        }

        /// Nobody listens any more.
        pub fn deafen() {
            HEARD.set(false);
            LISTENER.set(None);
        }

        /// Whether anybody listens.
        #[inline]
        pub fn is_heard() -> bool {
            HEARD.get()
        }

        /// Tells the listener, if there is one.
        pub fn with<T: Default>(tell: impl FnOnce(&mut dyn $listener) -> T) -> T {
            LISTENER.with_borrow_mut(|listener| {
                listener.as_mut().map_or_else(T::default, |listener| tell(&mut **listener))
            })
        }
    };
}
