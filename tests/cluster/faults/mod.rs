//! What members hear and what is kept when nodes die, and Redis or the network between goes away.

mod evening;
mod instruments;

mod acts;
mod database_away;
mod node_dies;
mod presence_cut;
mod redis_away;
mod redis_forgets;
mod rolling;
mod soak;
mod tokens;
mod way_cut;
