DROP TABLE streamer_modes;
DROP TABLE live_modes;
