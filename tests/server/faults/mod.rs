//! Faults below one node: its database dies, stands still or has no room left, its clock jumps.
//! Each test runs the servers that it harms, and then asks three things: what clients were told,
//! what operators saw, and whether the books and the order of events are still exact.

mod acts;
mod clock;
mod database;
mod disk;
mod room_under_load;
