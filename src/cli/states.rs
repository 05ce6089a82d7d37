//! State words as people see them: a glyph and a word, so that colour never carries meaning alone.
//! Must not know what moves a run or a task run from one to another.

/// How a word looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) glyph: &'static str,
    pub(crate) ascii: &'static str,
    /// SGR parameters of its colour.
    pub(crate) colour: &'static str,
}

const fn look(glyph: &'static str, ascii: &'static str, colour: &'static str) -> Look {
    Look { glyph, ascii, colour }
}

/// The look of a run's, task run's, worker's or master's state.
pub(crate) fn of(word: &str) -> Look {
    match word {
        "queued" | "waiting" | "creating" => look("◌", ".", "2"),
        "ready" => look("◔", "o", "36"),
        "dispatched" => look("◑", ">", "36"),
        "running" => look("●", "R", "34"),
        "stopping" | "cancelling" => look("◐", "x", "33"),
        "paused" => look("‖", "P", "33"),
        "backoff" => look("↻", "~", "33"),
        "lost" => look("?", "?", "31"),
        "succeeded" => look("✓", "S", "32"),
        "failed" | "quarantined" => look("✗", "F", "31"),
        "cancelled" => look("⊘", "C", "33"),
        "skipped" => look("⤼", "-", "2"),
        "up" | "available" => look("●", "+", "32"),
        "degraded" | "draining" | "cordoned" => look("◐", "!", "33"),
        "down" | "unavailable" => look("○", "X", "31"),
        _ => look("·", " ", "0"),
    }
}

/// Whether the run is over.
pub(crate) fn is_final(word: &str) -> bool {
    crate::api::FINAL_STATES.contains(&word)
}
