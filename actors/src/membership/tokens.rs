//! Tokens of people and programs: which are made and which are revoked. Pure decisions over the rows; a token's secret
//! never comes here, only its hash.

use std::collections::BTreeMap;

use hortator_core::access::{Role, SecretHash};
use hortator_core::id::Name;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Problem, ProblemKind, TokenView};
use hortator_proto::row::{Expiry, TokenRow, TokenState};

use super::roster::RosterRow;

/// Tokens of a cluster, revoked ones too; far above what people and programs need, so that a script that makes one
/// per call is noticed.
pub(super) const TOKENS_MAX: usize = 10_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct NewToken {
    pub name: Name,
    pub hash: SecretHash,
    pub role: Role,
    pub valid_for: Option<Span>,
}

/// Asked again for the same token, it answers the same; a name is never given to another secret, so that what was
/// revoked stays so.
pub(super) fn create(
    tokens: &BTreeMap<Name, TokenRow>,
    asked: NewToken,
    now: Timestamp,
) -> Result<Vec<RosterRow>, Problem> {
    if let Some(known) = tokens.get(&asked.name) {
        let same = known.hash == asked.hash && known.role == asked.role && known.state == TokenState::Valid;
        return if same { Ok(Vec::new()) } else { Err(name_taken(&asked.name)) };
    }
    if let Some(other) = tokens.values().find(|row| row.hash == asked.hash) {
        let detail = format!("the secret is that of token {} already", other.name);
        return Err(Problem::new(ProblemKind::Conflict, "H3062", detail).hint("hortator token create"));
    }
    if tokens.len() >= TOKENS_MAX {
        let detail = format!("the cluster has {TOKENS_MAX} tokens, which is the most it keeps");
        return Err(Problem::new(ProblemKind::Busy, "H3063", detail).hint("hortator token list"));
    }
    let expires = asked.valid_for.map_or(Expiry::Never, |span| Expiry::At(now.plus(span)));
    Ok(vec![RosterRow::Token(TokenRow {
        name: asked.name,
        hash: asked.hash,
        role: asked.role,
        created_at: now,
        expires,
        state: TokenState::Valid,
    })])
}

/// Revoking twice changes nothing.
pub(super) fn revoke(
    tokens: &BTreeMap<Name, TokenRow>,
    name: &Name,
    now: Timestamp,
) -> Result<Vec<RosterRow>, Problem> {
    match tokens.get(name) {
        None => {
            let detail = format!("there is no token {name}");
            Err(Problem::new(ProblemKind::NotFound, "H3060", detail).hint("hortator token list"))
        }
        Some(row) if row.state != TokenState::Valid => Ok(Vec::new()),
        Some(row) if row.role == Role::Admin && !another_admin(tokens, row, now) => {
            let detail = format!("token {name} is the last one that may change the cluster");
            let hint = "make another first: hortator token create --role admin";
            Err(Problem::new(ProblemKind::Conflict, "H3064", detail).hint(hint))
        }
        Some(row) => {
            Ok(vec![RosterRow::Token(TokenRow { state: TokenState::Revoked { at: now }, ..row.clone() })])
        }
    }
}

fn another_admin(tokens: &BTreeMap<Name, TokenRow>, without: &TokenRow, now: Timestamp) -> bool {
    tokens.values().any(|row| row.name != without.name && row.role == Role::Admin && counts(row, now))
}

/// Whether its bearer is let in at that time.
pub(super) fn counts(row: &TokenRow, now: Timestamp) -> bool {
    let over = matches!(row.expires, Expiry::At(at) if at <= now);
    row.state == TokenState::Valid && !over
}

pub(super) fn view(row: &TokenRow, now: Timestamp) -> TokenView {
    let state = match row.state {
        TokenState::Revoked { .. } => "revoked",
        TokenState::Valid if !counts(row, now) => "expired",
        TokenState::Valid => "valid",
    };
    TokenView {
        name: row.name.clone(),
        role: row.role,
        state: state.into(),
        created_at: row.created_at,
        expires_at: match row.expires {
            Expiry::Never => None,
            Expiry::At(at) => Some(at),
        },
    }
}

fn name_taken(name: &Name) -> Problem {
    let detail = format!("there is or was another token {name}; names are not used again");
    Problem::new(ProblemKind::Conflict, "H3061", detail).hint("choose another name")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LATER: Timestamp = Timestamp(9_000_000);

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn asked(text: &str, secret: u8, role: Role) -> NewToken {
        NewToken { name: name(text), hash: SecretHash([secret; 32]), role, valid_for: Some(Span(5_000_000)) }
    }

    /// `root` may all and for ever, `old` is revoked, `short` may all for five seconds.
    fn tokens() -> BTreeMap<Name, TokenRow> {
        let mut tokens = BTreeMap::new();
        for (text, secret, role) in
            [("root", 1, Role::Admin), ("old", 2, Role::Viewer), ("short", 3, Role::Admin)]
        {
            let mut row = written(create(&tokens, asked(text, secret, role), NOW));
            if text == "root" {
                row.expires = Expiry::Never;
            }
            tokens.insert(row.name.clone(), row);
        }
        let old = written(revoke(&tokens, &name("old"), NOW));
        tokens.insert(old.name.clone(), old);
        tokens
    }

    fn written(decision: Result<Vec<RosterRow>, Problem>) -> TokenRow {
        let [RosterRow::Token(row)] = &decision.expect("allowed")[..] else { panic!("one row is written") };
        row.clone()
    }

    fn word(decision: &Result<Vec<RosterRow>, Problem>) -> &str {
        match decision {
            Ok(rows) if rows.is_empty() => "nothing",
            Ok(_) => "write",
            Err(problem) => &problem.code,
        }
    }

    #[test]
    fn making_a_token() {
        for (text, secret, role, expected) in [
            ("new", 9, Role::Viewer, "write"),
            ("root", 1, Role::Admin, "nothing"),
            ("root", 1, Role::Viewer, "H3061"),
            ("root", 9, Role::Admin, "H3061"),
            ("old", 2, Role::Viewer, "H3061"),
            ("new", 1, Role::Admin, "H3062"),
        ] {
            let decision = create(&tokens(), asked(text, secret, role), NOW);
            assert_eq!(word(&decision), expected, "{text} {secret} {role:?}");
        }
    }

    #[test]
    fn revoking_a_token() {
        for (text, now, expected) in [
            ("root", NOW, "write"),
            ("root", LATER, "H3064"),
            ("short", NOW, "write"),
            ("old", NOW, "nothing"),
            ("nobody", NOW, "H3060"),
        ] {
            assert_eq!(word(&revoke(&tokens(), &name(text), now)), expected, "{text} at {now}");
        }
    }

    #[test]
    fn what_is_shown() {
        let tokens = tokens();
        let states = |now| tokens.values().map(|row| view(row, now).state).collect::<Vec<_>>().join(" ");
        assert_eq!(states(NOW), "revoked valid valid");
        assert_eq!(states(LATER), "revoked valid expired");
    }
}
