-- From where each user logged in: an IPv4 address or the /64 of an IPv6 address, the newest few of each
-- user. Guesses from elsewhere are counted apart, so that strangers cannot lock a user out.
CREATE TABLE login_networks (
    user_id BIGINT NOT NULL REFERENCES users (id),
    network TEXT   NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, network)
);
