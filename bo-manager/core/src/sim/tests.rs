//! Many worlds, and planted bugs that must not survive them.

use std::ops::Range;

use super::{Plant, Report, Sim};

/// Steps of one world.
const STEPS: u32 = 2000;

/// Worlds in which a planted bug must be found.
const PLANT_SEEDS: u64 = 300;

/// `BO_SEED=…` replays one; `BO_SEEDS=…` runs that many.
fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("BO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BO_SEEDS").unwrap_or(1000),
    }
}

/// Runs every second world, beginning with the first or the second.
#[track_caller]
fn assert_no_rule_is_broken(odd: u64) {
    let mine = seeds().filter(|seed| seed % 2 == odd);
    let failures: Vec<String> =
        mine.filter_map(|seed| Sim::check(seed, STEPS, None).err()).collect();
    assert!(failures.is_empty(), "{} worlds fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn no_even_world_breaks_a_rule() {
    assert_no_rule_is_broken(0);
}

#[test]
fn no_odd_world_breaks_a_rule() {
    assert_no_rule_is_broken(1);
}

#[test]
fn a_seed_replays_the_same_world() {
    assert_eq!(Sim::check(11, STEPS, None), Sim::check(11, STEPS, None));
}

#[test]
fn worlds_are_not_idle() {
    let reports: Vec<Report> =
        (0..40).filter_map(|seed| Sim::check(seed, STEPS, None).ok()).collect();
    let total = |of: fn(&Report) -> u64| -> u64 { reports.iter().map(of).sum() };
    assert!(total(|report| report.loads) > 1000);
    assert!(total(|report| report.stores) > 1000);
    assert!(total(|report| report.fills) > 500);
    assert!(total(|report| report.evictions) > 300);
    assert!(total(|report| report.rescues) > 0);
    assert!(total(|report| report.cleaned) > 200);
    assert!(total(|report| report.cleaned_used) > 20);
    assert!(total(|report| report.called_off) > 0);
    assert!(total(|report| report.same) > 5);
    assert!(total(|report| report.pauses) > 0);
    assert!(total(|report| report.sigbus) > 0);
    assert!(total(|report| report.guesses) > 20);
    assert!(total(|report| report.judged[0]) > 10);
    assert!(total(|report| report.judged[1]) > 10);
    assert!(total(|report| report.cut) > 0);
    assert!(total(|report| report.suspensions) > 50);
    assert!(total(|report| report.asked) > 100);
    assert!(total(|report| report.resizes) > 50);
}

/// One of the first worlds shows the bug, and what it shows is `symptom`.
#[track_caller]
fn assert_found(plant: Plant, symptom: &str) {
    assert_found_within(STEPS, plant, &[symptom]);
}

/// The same for a bug that shows in several ways.
#[track_caller]
fn assert_found_as(plant: Plant, symptoms: &[&str]) {
    assert_found_within(STEPS, plant, symptoms);
}

/// The same for a bug that takes longer lives to show.
#[track_caller]
fn assert_found_within(steps: u32, plant: Plant, symptoms: &[&str]) {
    let found = (0..PLANT_SEEDS).find_map(|seed| Sim::check(seed, steps, Some(plant)).err());
    let text = found.unwrap_or_else(|| panic!("{plant:?} is not found"));
    let known = symptoms.iter().any(|symptom| text.contains(symptom));
    assert!(known, "{plant:?} shows as {text}");
}

#[test]
fn a_mapping_that_is_not_protected_cannot_go_unnoticed() {
    assert_found(Plant::SkipOneGuard, "rule 1");
}

#[test]
fn protecting_after_the_copy_cannot_go_unnoticed() {
    assert_found(Plant::GuardAfterCopy, "rule 1");
}

#[test]
fn punching_before_the_copy_is_done_cannot_go_unnoticed() {
    assert_found(Plant::PunchBeforeCopied, "rule 1");
}

#[test]
fn a_new_mapping_without_its_guard_cannot_go_unnoticed() {
    assert_found(Plant::SkipGuardOnAttach, "rule 1");
}

#[test]
fn a_new_mapping_that_is_guarded_in_part_cannot_go_unnoticed() {
    assert_found(Plant::SkipLaterGuards, "rule 1");
}

#[test]
fn an_entry_that_is_writable_too_early_cannot_go_unnoticed() {
    assert_found(Plant::IgnoreProtection, "rule 1");
}

#[test]
fn a_missing_wake_after_an_entry_that_exists_cannot_go_unnoticed() {
    assert_found(Plant::NoWakeAfterExists, "waits for ever");
}

#[test]
fn a_dropped_fault_on_a_present_page_cannot_go_unnoticed() {
    assert_found(Plant::DropPresentFaults, "waits for ever");
}

#[test]
fn a_fault_answered_before_it_was_read_cannot_go_unnoticed() {
    assert_found(Plant::DropRepeatedFaults, "waits for ever");
}

#[test]
fn zeros_punched_after_a_failed_fill_cannot_go_unnoticed() {
    assert_found(Plant::PunchZerosOnFailure, "rule 1");
}

#[test]
fn ram_given_back_too_late_cannot_go_unnoticed() {
    assert_found(Plant::DiscardLate, "of RAM");
}

#[test]
fn an_outcome_that_is_not_reported_cannot_go_unnoticed() {
    // Or by a mapping that is never detached, in which a thread faults for ever.
    assert_found_as(Plant::ForgetUnprotected, &["not reported", "does not come to rest"]);
}

#[test]
fn an_entry_for_a_page_that_is_watched_cannot_go_unnoticed() {
    assert_found(Plant::InstallAcrossGaps, "used unseen");
}

#[test]
fn a_prefetch_that_evicts_its_own_pages_cannot_go_unnoticed() {
    assert_found(Plant::RenewPrefetch, "evicts what is younger");
}

#[test]
fn a_forgotten_pattern_cannot_go_unnoticed() {
    assert_found(Plant::ForgetPatterns, "rule 1");
}

#[test]
fn half_a_pattern_cannot_go_unnoticed() {
    assert_found(Plant::HalfAPattern, "rule 1");
}

#[test]
fn a_cleaner_that_forgets_a_mapping_cannot_go_unnoticed() {
    assert_found(Plant::CoreCleansUnguarded, "rule 1");
}

#[test]
fn a_cleaner_that_ignores_a_write_cannot_go_unnoticed() {
    assert_found(Plant::CoreIgnoresWrites, "rule 1");
}

#[test]
fn a_cleaner_whose_readers_are_not_watched_cannot_go_unnoticed() {
    // Four lives long: who reads a page while it is copied must be the next to write to it.
    assert_found_within(4 * STEPS, Plant::CoreCleansUnwatched, &["rule 1"]);
}

#[test]
fn an_answer_to_a_suspended_client_cannot_go_unnoticed() {
    assert_found(Plant::CoreAnswersSuspended, "a suspended client is answered");
}

#[test]
fn a_client_that_is_suspended_too_early_cannot_go_unnoticed() {
    assert_found(Plant::CoreSleepsEarly, "has pages and its clients are suspended");
}

#[test]
fn a_thread_that_is_not_woken_when_its_client_goes_on_cannot_go_unnoticed() {
    assert_found(Plant::CoreForgetsParked, "waits for ever");
}

#[test]
fn a_pool_that_shrinks_before_its_pages_have_left_cannot_go_unnoticed() {
    assert_found(Plant::CoreShrinksAtOnce, "rule 2");
}
