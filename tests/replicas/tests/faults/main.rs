//! Replicas whose API server fails or can't be reached, whose workers can't reach them, and whose
//! Lease others change. One program, so that cargo runs all of these tests beside each other.

mod api_outage;
mod api_refusals;
mod client_go;
mod edited_away;
mod edited_in_place;
mod partition;
mod partition_answers;
