//! What the agent answers, story by story.

use super::script::{Story, check};

/// A registered agent with one master, which leads shard 1 in term 5.
const READY: [(&str, &str); 4] = [
    ("open n1", "n1<register"),
    ("registered", "life 7; deadline 10s; n1<inventory 0/0"),
    ("seen", "deadline 10s"),
    ("leads 1 5 1", ""),
];

#[track_caller]
fn ready(steps: &[(&str, &str)]) -> Story {
    let mut story = check(&READY);
    story.play(steps);
    story
}

#[test]
fn an_attempt_runs_and_its_end_is_reported_until_acknowledged() {
    let story = ready(&[
        ("run a@10", "start a@10"),
        ("run a@10", ""),
        ("over a@10", "keep a@10 ended in life 7; n1<a@10 ended in life 7"),
        ("tick", ""),
        ("wait 999ms", ""),
        ("wait 1ms", "n1<a@10 ended in life 7"),
        ("run a@10", "n1<a@10 ended in life 7"),
        ("acknowledge a@10 1", ""),
        ("wait 2s", ""),
        ("run a@10", ""),
        ("ask a@10", ""),
        ("stop a@10", ""),
    ]);
    assert_eq!((story.machine.reports.len(), story.machine.reports.weight()), (0, 0));
}

#[test]
fn a_noop_is_done_at_once_and_takes_no_slot() {
    ready(&[
        ("run a@10 slots=2", "start a@10"),
        ("run b@10 noop", "keep b@10 ended in life 7; n1<b@10 ended in life 7"),
        ("run b@10 noop", "n1<b@10 ended in life 7"),
        ("acknowledge b@10 1", ""),
        ("run b@10 noop", ""),
    ]);
}

#[test]
fn without_room_it_is_refused_and_stays_refused() {
    ready(&[
        ("run a@10", "start a@10"),
        ("run b@11 slots=2", "keep b@11 refused (no room) in life 7; n1<b@11 refused (no room) in life 7"),
        ("over a@10", "keep a@10 ended in life 7; n1<a@10 ended in life 7"),
        ("run b@11 slots=2", "n1<b@11 refused (no room) in life 7"),
        ("run b@12 slots=2", "start b@12"),
        (
            "run c@13 slots=4294967295",
            "keep c@13 refused (no room) in life 7; n1<c@13 refused (no room) in life 7",
        ),
    ]);
}

#[test]
fn asked_or_stopped_before_it_came_it_is_refused() {
    let never = "it never came before it was asked for";
    let stopped = "it was stopped before it came";
    ready(&[
        ("ask a@10", &format!("keep a@10 refused ({never}) in life 7; n1<a@10 refused ({never}) in life 7")),
        ("run a@10", &format!("n1<a@10 refused ({never}) in life 7")),
        (
            "stop b@10",
            &format!("keep b@10 refused ({stopped}) in life 7; n1<b@10 refused ({stopped}) in life 7"),
        ),
        ("run b@10", &format!("n1<b@10 refused ({stopped}) in life 7")),
    ]);
}

#[test]
fn a_running_attempt_is_stopped_or_shown() {
    ready(&[
        ("run a@10", "start a@10"),
        ("ask a@10", "n1<running 1"),
        ("stop a@10", "stop a@10"),
        ("stop a@10", "stop a@10"),
        ("over a@10", "keep a@10 ended in life 7; n1<a@10 ended in life 7"),
        ("stop a@10", "n1<a@10 ended in life 7"),
    ]);
}

#[test]
fn other_lives_and_lower_terms_are_ignored_not_decided() {
    let story = ready(&[
        ("run a@10 life=6", ""),
        ("run a@10 life=8", ""),
        ("leads 1 6 1 from n2", ""),
        ("run a@10 term=5", ""),
        ("run a@10 term=6 from n2", "start a@10"),
    ]);
    assert_eq!((story.machine.ignored.other_life, story.machine.ignored.old_term), (2, 1));
}

#[test]
fn below_the_watermark_nothing_starts() {
    let below = "its fence is below the watermark, so it has ended";
    ready(&[
        ("run a@10", "start a@10"),
        ("leads 1 5 9", ""),
        ("run b@8", &format!("keep b@8 refused ({below}) in life 7; n1<b@8 refused ({below}) in life 7")),
        ("run b@9", "start b@9"),
        // The shard says that all below 11 has ended: what runs there is nobody's.
        ("leads 1 5 10", "kill b@9"),
        ("over b@9", "keep b@9 ended in life 7; n1<b@9 ended in life 7"),
        ("ask a@10", "n1<running 1"),
    ]);
}

#[test]
fn reports_follow_the_shards_leader() {
    ready(&[
        ("open n2", "n2<inventory 0/0; beat to 2"),
        ("run a@10 noop", "keep a@10 ended in life 7; n1<a@10 ended in life 7"),
        ("run b2@10 noop from n2 term=3", "keep b2@10 ended in life 7; n2<b2@10 ended in life 7"),
        ("leads 1 6 1 from n2", "n2<a@10 ended in life 7"),
        ("leads 1 5 1 from n1", ""),
        ("close n2", ""),
        ("wait 1500ms", ""),
        ("open n2", "n2<inventory 0/2; beat to 2; n2<a@10 ended in life 7; n2<b2@10 ended in life 7"),
        // Whoever acknowledges, it is committed.
        ("acknowledge a@10 1 from n1", ""),
        ("wait 1s", "beat to 2; n2<b2@10 ended in life 7"),
    ]);
}

#[test]
fn an_expired_lease_ends_the_life() {
    let mut story = ready(&[
        ("run a@10", "start a@10"),
        ("wait 9s", ""),
        ("wait 1s", "life over; kill a@10"),
        ("run b@11", ""),
        ("seen", ""),
        ("wait 1s", ""),
        // Nothing of the old life is left: the next one may be registered, and the end still counts.
        ("over a@10", "keep a@10 ended in life 7; n1<register spooled=1; n1<a@10 ended in life 7"),
        ("registered late", ""),
        ("wait 500ms", "n1<register spooled=1"),
        ("registered", "life 9; deadline 9s500ms; n1<inventory 0/1"),
        ("ask a@10", "n1<a@10 ended in life 7"),
        ("run c@12", "start c@12"),
    ]);
    story.play(&[
        ("seen", "deadline 10s"),
        ("wait 9999ms", "n1<a@10 ended in life 7"),
        ("ask c@12", "n1<running 1"),
    ]);
}

#[test]
fn the_lease_counts_from_the_heartbeats_sending() {
    ready(&[
        ("wait 500ms", ""),
        ("wait 3s", ""),
        ("seen", "deadline 10s"),
        ("wait 6s", ""),
        ("wait 3999ms", ""),
        ("wait 1ms", "life over; n1<register"),
    ]);
}

#[test]
fn without_an_acknowledged_heartbeat_the_first_lease_is_short() {
    check(&[
        ("open n1", "n1<register"),
        ("wait 9s", "n1<register"),
        ("registered", "life 7; deadline 1s; n1<inventory 0/0"),
        ("wait 1s", ""),
        // Not live any more, and not over, since nothing runs.
        ("run a@10", ""),
        ("seen", "deadline 10s"),
        ("run a@10", "start a@10"),
    ]);
    check(&[
        ("open n1", "n1<register"),
        ("registered", "life 7; deadline 10s; n1<inventory 0/0"),
        ("run a@10", "start a@10"),
        ("wait 10s", "life over; kill a@10"),
    ]);
}

#[test]
fn a_cluster_may_keep_no_leases() {
    check(&[
        ("open n1", "n1<register"),
        ("registered", "life 7; deadline 10s; n1<inventory 0/0"),
        ("seen unlimited", "no deadline"),
        ("run a@10", "start a@10"),
        ("wait 9000s", ""),
        ("run b@11", "start b@11"),
    ]);
}

#[test]
fn with_the_warden_goes_the_life_and_no_end_is_made_up() {
    let story = ready(&[
        ("run a@10", "start a@10"),
        ("warden gone", "life over; forget"),
        ("over a@10", ""),
        ("wait 20s", ""),
        ("run b@11", ""),
        ("warden ready", "n1<register"),
        ("registered", "life 8; deadline 10s; n1<inventory 0/0"),
        ("run a@10 life=7", ""),
        ("run b@11", "start b@11"),
    ]);
    assert_eq!(story.machine.reports.len(), 0);
}

#[test]
fn a_new_process_reports_for_the_last_one() {
    let mut story = ready(&[
        ("run a@10", "start a@10"),
        ("run b@11", "start b@11"),
        ("over a@10", "keep a@10 ended in life 7; n1<a@10 ended in life 7"),
    ])
    .restart();
    story.play(&[
        ("open n1", "n1<register spooled=1"),
        ("registered", "life 7; deadline 10s; n1<inventory 0/1"),
        ("leads 1 9 1", "n1<a@10 ended in life 7"),
        ("acknowledge a@10 12", ""),
        ("wait 2s", ""),
    ]);
    assert_eq!(story.machine.reports.len(), 0);
}

#[test]
fn a_runs_directory_stays_while_an_attempt_uses_it() {
    ready(&[
        ("run a@10", "start a@10"),
        ("ended 1", ""),
        ("ended 2", "run ended"),
        ("over a@10", "keep a@10 ended in life 7; n1<a@10 ended in life 7"),
        ("ended 1", "run ended"),
    ]);
}

#[test]
fn every_fourth_heartbeat_goes_to_all_and_each_while_the_leader_is_in_doubt() {
    ready(&[
        ("open n2", "n2<inventory 0/0; beat to 2"),
        ("wait 500ms", ""),
        ("seen", "deadline 10s"),
        ("wait 500ms", ""),
        ("wait 500ms", ""),
        ("wait 500ms", "beat to 2"),
        ("wait 500ms", "beat to 2"),
        ("seen", "deadline 10s"),
        ("wait 500ms", ""),
    ]);
}

#[test]
fn told_of_a_younger_life_it_registers_as_one_younger_still() {
    check(&[
        ("open n1", "n1<register"),
        ("registered late", ""),
        ("registered younger", "n1<register"),
        ("registered", "life 9; deadline 10s; n1<inventory 0/0"),
        ("seen", "deadline 10s"),
    ]);
}
