#![allow(clippy::unwrap_used)]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_000_000 + second).unwrap()
}

#[test]
fn an_allowance_is_spent_and_grows_again_with_time() {
    let mut allowance = Allowance::full(at(0));
    let taken = (0..100).filter(|_| allowance.take(at(1))).count();
    assert_eq!(taken, TOLD_ALONE_MAX as usize);
    let period = ANOTHER_AFTER.as_secs();
    // What was full grows from the moment in which it was taken of.
    assert!(!allowance.take(at(period)));
    assert!(allowance.take(at(1 + period)));
    assert!(!allowance.take(at(2 + period)));
    // What is spent in the middle of a period does not lose what of it has passed.
    assert!(allowance.take(at(1 + 2 * period)));
    let long_after = at(1_000 * period);
    let taken = (0..100).filter(|_| allowance.take(long_after)).count();
    assert_eq!(taken, TOLD_ALONE_MAX as usize);
}

#[test]
fn a_clock_that_steps_back_gives_nothing() {
    let mut allowance = Allowance { left: 0, since: at(1_000_000) };
    assert!(!allowance.take(at(0)));
    assert!(allowance.take(at(1_000_000 + ANOTHER_AFTER.as_secs())));
}

#[test]
fn the_place_of_a_workload_is_its_cluster_and_namespace() {
    assert_eq!(namespace_of("prod-1/shop/Deployment/api"), "prod-1/shop");
    assert_eq!(namespace_of("eu/prod-1/shop/Deployment/api"), "eu/prod-1/shop");
    assert_eq!(namespace_of("nothing"), "nothing");
}
