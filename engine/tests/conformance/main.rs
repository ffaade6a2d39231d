//! What every driver must do, each case written once: on real sockets against small servers that
//! misbehave in one way each, and in virtual time where the kernel has no part in it.

mod connections;
mod peer;
mod reconnecting;
mod replies;
mod requests;
mod rig;
mod stamps;
mod timers;
mod tls;

/// One test a driver and case.
macro_rules! on_every_driver {
    (@driver $name:ident $kind:ident $($module:ident::$case:ident,)+) => {
        mod $name {
            use engine::driver::DriverKind;

            $(#[test] fn $case() {
                crate::$module::$case(crate::rig::On::Sockets(DriverKind::$kind))
            })+
        }
    };
    (
        everywhere: { $($module:ident::$case:ident,)+ }
        sockets: { $($socket_module:ident::$socket_case:ident,)+ }
    ) => {
        on_every_driver! {
            @driver uring Uring $($module::$case,)+ $($socket_module::$socket_case,)+
        }
        on_every_driver! {
            @driver monoio_over_io_uring MonoioUring
            $($module::$case,)+ $($socket_module::$socket_case,)+
        }
        on_every_driver! {
            @driver monoio_over_epoll MonoioEpoll
            $($module::$case,)+ $($socket_module::$socket_case,)+
        }
        on_every_driver! {
            @driver tokio_uring TokioUring $($module::$case,)+ $($socket_module::$socket_case,)+
        }

        mod sim {
            $(#[test] fn $case() { crate::$module::$case(crate::rig::On::Sim) })+
        }
    };
}

on_every_driver! {
    everywhere: {
        replies::a_reply_is_matched_to_its_request,
        replies::replies_that_come_byte_by_byte_are_whole,
        replies::a_reply_with_another_requests_id_is_a_wrong_reply,
        replies::a_head_without_end_is_refused_at_its_limit,
        connections::a_connection_closed_after_each_reply_is_reopened_for_the_next_request,
        connections::a_connection_lost_in_the_middle_of_a_reply_is_one_failure_and_a_new_connection,
        connections::a_refused_connection_is_told,
        reconnecting::each_request_is_the_first_and_last_of_its_connection,
        connections::a_server_that_does_not_accept_is_given_up_in_time,
        timers::open_loops_send_all_that_is_due_and_nothing_before,
        timers::a_spin_changes_nothing_but_punctuality,
        timers::requests_without_a_reply_are_given_up_in_time,
        timers::think_times_are_kept,
    }
    sockets: {
        replies::more_bytes_at_once_than_there_are_buffers_all_arrive,
        requests::requests_larger_than_the_socket_buffer_go_out_whole,
        requests::requests_of_every_size_around_the_small_send_limit_go_out_whole,
        requests::a_unix_socket_is_as_good,
        requests::a_login_and_prepared_statements_go_through,
        requests::operations_are_exchanged_while_a_phase_runs_and_no_request_is_lost,
        connections::a_reset_is_one_failure_and_a_new_connection,
        connections::thousands_of_connections_are_opened_and_used,
        connections::connections_past_an_addresss_ports_come_from_the_next,
        connections::two_workers_share_one_target,
        connections::round_trips_are_told_of_tcp_alone,
        connections::connections_are_opened_during_the_phase_when_all_are_busy,
        connections::dropping_the_fleet_closes_every_connection,
        tls::records_that_come_byte_by_byte_are_whole,
        tls::replies_of_many_records_all_arrive,
        tls::hundreds_of_connections_of_each_kind_are_opened_and_used,
        reconnecting::a_postgres_server_hears_that_the_client_goes,
        reconnecting::a_connection_ends_with_a_reset_where_that_is_asked_for,
        timers::what_is_sent_while_it_spins_is_work,
        timers::the_stop_flag_ends_a_phase_whose_server_never_answers,
        timers::intervals_are_told_while_the_phase_runs_and_are_the_whole_of_it,
        timers::whoever_is_told_of_an_interval_may_end_the_phase,
    }
}
