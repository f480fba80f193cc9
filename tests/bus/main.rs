//! The contract that every bus passes, written against `dyn Bus`.
//!
//! A bus takes part with a `Place`: how to open it, and how to open it again on what it kept. `contract!` makes one
//! test of each case per place. What only the embedded bus can promise (`kill -9`) stands in `killed`, what only servers
//! can suffer in `repaired`, `guarded` and `nodes`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blobs;
mod delivery;
mod guarded;
mod jetstream;
mod key_value;
mod killed;
mod limits;
mod nodes;
mod place;
mod poison;
mod publish;
mod repaired;
mod restart;
mod rights;
mod tally;
mod trimmed;

macro_rules! contract {
    ($place:ty, $bus:literal: $($module:ident { $($case:ident)+ })+) => {
        static TALLY: $crate::tally::Tally =
            $crate::tally::Tally::new($bus, [$($(stringify!($case)),+),+].len());

        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let case = async {
                    let place = <$place>::new().await;
                    $crate::$module::$case(&place).await;
                };
                super::TALLY.count(case).await;
            })+
        })+
    };
}

/// Every case, for a bus that keeps all of the contract.
macro_rules! whole_contract {
    ($place:ty, $bus:literal) => {
        contract! { $place, $bus:
        publish {
            first_deliveries_keep_the_order_of_publishing
            a_repeated_id_is_dropped_and_names_the_first
            many_publishers_at_once_each_get_a_place_of_their_own
            a_message_comes_back_with_all_its_parts
            a_new_consumer_starts_at_the_oldest_message
            consumers_take_only_their_subjects
            a_kept_message_is_read_and_removed_by_its_number
        }
        delivery {
            an_unsettled_message_comes_again_and_is_counted
            a_retry_comes_after_its_delay_and_those_behind_pass
            an_acknowledged_message_never_comes_again
            a_terminated_message_never_comes_again
            work_in_progress_is_not_delivered_again
            an_old_delivery_still_settles_its_message
            two_readers_of_one_name_share_the_messages
            a_fetch_waits_for_the_first_message
            a_cancelled_fetch_loses_nothing
            a_removed_consumer_says_so
        }
        poison {
            a_poison_message_goes_to_the_dead_letter_and_those_behind_pass
            a_dead_letter_is_shown_and_replayed
            a_large_dead_letter_keeps_its_payload_as_a_blob
            what_an_intake_could_not_read_is_kept_once
            a_letter_of_an_agent_hands_back_nothing_of_anothers
        }
        restart {
            a_restart_in_the_middle_of_a_batch_brings_back_what_was_not_settled
            counts_of_deliveries_survive_a_restart
            keys_and_blobs_survive_a_restart
            a_closed_bus_says_so
        }
        limits {
            a_payload_over_the_limit_is_refused_and_one_at_the_limit_passes
            odd_subjects_ids_and_headers_are_refused
            a_slow_reader_holds_no_more_than_its_bound
            one_fetch_is_bounded
            how_a_bus_stands_is_told_in_numbers
        }
        key_value {
            exactly_one_of_many_writers_wins_a_revision
            a_key_is_created_once_and_again_after_a_delete
            a_watch_begins_with_what_is_there_and_sees_every_change_in_order
            a_watch_sees_only_its_prefix
            odd_keys_and_large_values_are_refused
        }
        blobs {
            a_blob_is_found_by_its_hash
            a_tampered_blob_is_named_and_not_returned
            an_oversize_blob_is_refused_on_both_ways
            a_damaged_blob_is_mended_by_putting_it_again
        }
        }
    };
}

mod embedded {
    whole_contract! { crate::place::Embedded, "the embedded bus" }
}

mod one_server {
    whole_contract! { crate::jetstream::OneServer, "one server" }
}

mod three_nodes {
    whole_contract! { crate::jetstream::ThreeNodes, "three nodes" }
}
