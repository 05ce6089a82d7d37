//! The pages of `hortator help CODE` for everything but definitions and reasons, which are core's.
//! H1… connection, access, cluster; H2… definitions, files, configuration; H3… runs; H4… disks and backups; H9… faults
//! of Hortator. A code is never reused and never disappears.

mod access;
mod definitions;
mod faults;
mod members;
mod storage;
mod work;

/// One page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub code: &'static str,
    pub title: &'static str,
    pub text: &'static str,
}

const fn entry(code: &'static str, title: &'static str, text: &'static str) -> Page {
    Page { code, title, text }
}

/// The page of a code.
pub fn page(code: &str) -> Option<&'static Page> {
    pages().find(|page| page.code == code)
}

/// All pages.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    FAMILIES.iter().copied().flatten()
}

const FAMILIES: &[&[Page]] =
    &[access::PAGES, definitions::PAGES, work::PAGES, members::PAGES, storage::PAGES, faults::PAGES];
