DROP TABLE manager_networks;
DROP TABLE manager_sessions;
DROP TABLE manager_links;
DROP TABLE managers;
