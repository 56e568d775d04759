//! The HTTP API, filed by URL: the real routes over a real SQLite file. Bodies are asserted whole,
//! since clients of the replaced system read them.

mod admin;
mod admin_access;
mod admin_filter;
mod admin_gifts;
mod admin_ledger_proof;
mod admin_moderation;
mod admin_pages;
mod admin_rooms;
mod admin_tokens;
mod admin_users;
mod api;
mod api_filter;
mod api_gift_list;
mod api_live_changestatus;
mod api_live_create;
mod api_live_history;
mod api_live_list;
mod api_live_read;
mod api_login;
mod api_logout;
mod api_reg;
mod api_user_account;
mod api_user_export;
mod api_user_follow;
mod api_user_info;
mod harness;
mod health;
