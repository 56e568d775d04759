// @generated automatically by Diesel CLI.

diesel::table! {
    api_tokens (id) {
        id -> Int8,
        name -> Text,
        digest -> Text,
        scopes -> Text,
        created_by_kind -> Text,
        created_by_id -> Int8,
        created_by_name -> Text,
        created_at -> Int8,
        expires_at -> Nullable<Int8>,
        last_used_at -> Nullable<Int8>,
        revoked_at -> Nullable<Int8>,
    }
}

diesel::table! {
    audit (id) {
        id -> Int8,
        at -> Int8,
        actor_kind -> Text,
        actor_id -> Int8,
        role -> Text,
        address -> Nullable<Text>,
        scope -> Text,
        scope_id -> Nullable<Int8>,
        action -> Text,
        target_id -> Nullable<Int8>,
        arguments -> Text,
        before -> Nullable<Text>,
        after -> Nullable<Text>,
        reason -> Nullable<Text>,
        request_id -> Nullable<Text>,
        result -> Text,
    }
}

diesel::table! {
    audit_seals (id) {
        id -> Int8,
        from_id -> Int8,
        to_id -> Int8,
        leaves -> Bytea,
        hash -> Bytea,
        at -> Int8,
    }
}

diesel::table! {
    comments (id) {
        id -> Int8,
        live_id -> Int8,
        user_id -> Int8,
        content -> Text,
        request_id -> Nullable<Text>,
        created_at -> Int8,
        removed_at -> Nullable<Int8>,
        sort_key -> Nullable<Int8>,
    }
}

diesel::table! {
    follower_counts (streamer_id) {
        streamer_id -> Int8,
        followers -> Int8,
    }
}

diesel::table! {
    follows (follower_id, streamer_id) {
        follower_id -> Int8,
        streamer_id -> Int8,
        since -> Int8,
    }
}

diesel::table! {
    gift_records (id) {
        id -> Int8,
        transfer_id -> Int8,
        live_id -> Int8,
        user_id -> Int8,
        gift_id -> Int8,
        num -> Int8,
        price -> Int8,
        total -> Int8,
        live_coin_after -> Int8,
        created_at -> Int8,
    }
}

diesel::table! {
    gifts (id) {
        id -> Int8,
        name -> Text,
        image -> Text,
        coin -> Int8,
        created_at -> Int8,
        updated_at -> Int8,
        on_sale -> Bool,
    }
}

diesel::table! {
    held_comments (comment_id) {
        comment_id -> Int8,
        live_id -> Int8,
        user_id -> Int8,
        content -> Text,
        request_id -> Nullable<Text>,
        rule -> Text,
        created_at -> Int8,
        due_at -> Int8,
        state -> Text,
        decided_at -> Nullable<Int8>,
        reason -> Nullable<Text>,
        is_logged -> Bool,
    }
}

diesel::table! {
    ledger_entries (id) {
        id -> Int8,
        transfer_id -> Int8,
        account -> Text,
        account_id -> Int8,
        amount -> Int8,
    }
}

diesel::table! {
    ledger_transfers (id) {
        id -> Int8,
        kind -> Text,
        user_id -> Int8,
        request_id -> Text,
        user_coin_after -> Int8,
        created_at -> Int8,
    }
}

diesel::table! {
    live_modes (live_id) {
        live_id -> Int8,
        version -> Int8,
        modes -> Text,
        updated_at -> Int8,
    }
}

diesel::table! {
    live_views (live_id, user_id) {
        live_id -> Int8,
        user_id -> Int8,
    }
}

diesel::table! {
    lives (id) {
        id -> Int8,
        user_id -> Int8,
        title -> Text,
        cover -> Text,
        key -> Text,
        status -> Int2,
        coin -> Int8,
        look_count -> Int8,
        created_at -> Int8,
        updated_at -> Int8,
    }
}

diesel::table! {
    login_networks (user_id, network) {
        user_id -> Int8,
        network -> Text,
        last_at -> Int8,
    }
}

diesel::table! {
    manager_links (manager_id) {
        manager_id -> Int8,
        digest -> Text,
        expires_at -> Int8,
    }
}

diesel::table! {
    manager_networks (manager_id, network) {
        manager_id -> Int8,
        network -> Text,
        last_at -> Int8,
    }
}

diesel::table! {
    manager_sessions (id) {
        id -> Int8,
        manager_id -> Int8,
        digest -> Text,
        address -> Text,
        user_agent -> Text,
        created_at -> Int8,
        used_at -> Int8,
        ends_at -> Int8,
    }
}

diesel::table! {
    managers (id) {
        id -> Int8,
        name -> Text,
        role -> Text,
        is_admin -> Bool,
        disabled -> Bool,
        password_hash -> Nullable<Text>,
        created_at -> Int8,
        last_login_at -> Nullable<Int8>,
    }
}

diesel::table! {
    moderation_versions (streamer_id) {
        streamer_id -> Int8,
        version -> Int8,
    }
}

diesel::table! {
    moderators (streamer_id, user_id) {
        streamer_id -> Int8,
        user_id -> Int8,
        created_at -> Int8,
    }
}

diesel::table! {
    pending_actions (action_id) {
        action_id -> Int8,
    }
}

diesel::table! {
    pins (live_id) {
        live_id -> Int8,
        comment_id -> Nullable<Int8>,
        actor_kind -> Text,
        actor_id -> Int8,
        action_id -> Int8,
        updated_at -> Int8,
    }
}

diesel::table! {
    reported_comments (comment_id) {
        comment_id -> Int8,
        live_id -> Int8,
        reports -> Int8,
        created_at -> Int8,
        updated_at -> Int8,
        settled_at -> Nullable<Int8>,
        actor_kind -> Nullable<Text>,
        actor_id -> Nullable<Int8>,
    }
}

diesel::table! {
    reports (comment_id, user_id) {
        comment_id -> Int8,
        user_id -> Int8,
        reason -> Text,
        created_at -> Int8,
    }
}

diesel::table! {
    sanctions (id) {
        id -> Int8,
        scope -> Text,
        streamer_id -> Nullable<Int8>,
        live_id -> Nullable<Int8>,
        user_id -> Int8,
        kind -> Text,
        until_at -> Nullable<Int8>,
        gifts -> Bool,
        purge -> Text,
        reason -> Nullable<Text>,
        actor_kind -> Text,
        actor_id -> Int8,
        request_id -> Nullable<Text>,
        created_at -> Int8,
        lifted_at -> Nullable<Int8>,
        lifted_by -> Nullable<Int8>,
    }
}

diesel::table! {
    session_tokens (user_id) {
        user_id -> Int8,
        digest -> Text,
        created_at -> Int8,
    }
}

diesel::table! {
    streamer_modes (streamer_id) {
        streamer_id -> Int8,
        modes -> Text,
        updated_at -> Int8,
    }
}

diesel::table! {
    term_lists (streamer_id) {
        streamer_id -> Int8,
        lines -> Text,
        version -> Int8,
        updated_at -> Int8,
    }
}

diesel::table! {
    users (id) {
        id -> Int8,
        username -> Text,
        nickname -> Nullable<Text>,
        avatar -> Nullable<Text>,
        password_hash -> Text,
        coin -> Int8,
        status -> Int2,
        created_at -> Int8,
        updated_at -> Int8,
        skeleton -> Nullable<Text>,
    }
}

diesel::joinable!(follower_counts -> users (streamer_id));
diesel::joinable!(gift_records -> gifts (gift_id));
diesel::joinable!(gift_records -> ledger_transfers (transfer_id));
diesel::joinable!(gift_records -> lives (live_id));
diesel::joinable!(gift_records -> users (user_id));
diesel::joinable!(ledger_entries -> ledger_transfers (transfer_id));
diesel::joinable!(ledger_transfers -> users (user_id));
diesel::joinable!(live_modes -> lives (live_id));
diesel::joinable!(live_views -> lives (live_id));
diesel::joinable!(live_views -> users (user_id));
diesel::joinable!(lives -> users (user_id));
diesel::joinable!(login_networks -> users (user_id));
diesel::joinable!(manager_links -> managers (manager_id));
diesel::joinable!(manager_networks -> managers (manager_id));
diesel::joinable!(manager_sessions -> managers (manager_id));
diesel::joinable!(moderation_versions -> users (streamer_id));
diesel::joinable!(pins -> lives (live_id));
diesel::joinable!(reported_comments -> lives (live_id));
diesel::joinable!(reports -> users (user_id));
diesel::joinable!(sanctions -> lives (live_id));
diesel::joinable!(session_tokens -> users (user_id));
diesel::joinable!(streamer_modes -> users (streamer_id));

diesel::allow_tables_to_appear_in_same_query!(
    api_tokens,
    audit,
    audit_seals,
    comments,
    follower_counts,
    follows,
    gift_records,
    gifts,
    held_comments,
    ledger_entries,
    ledger_transfers,
    live_modes,
    live_views,
    lives,
    login_networks,
    manager_links,
    manager_networks,
    manager_sessions,
    managers,
    moderation_versions,
    moderators,
    pending_actions,
    pins,
    reported_comments,
    reports,
    sanctions,
    session_tokens,
    streamer_modes,
    term_lists,
    users,
);
