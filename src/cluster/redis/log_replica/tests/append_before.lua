-- Appends events to a room's log, numbers them and publishes them, all at once or not at all; tells
-- what the caller missed. Doing the same again changes nothing: each origin counts its events.
--
-- KEYS  1 order    hash: epoch, generation, offset of the newest event
--       2 events   stream: the newest events, at generation-offset
--       3 applied  hash of one origin: count of its events so far, the reply to the last batch
--       4 gifts    sorted set: the newest gifts that were announced
-- ARGV  1 name of a new epoch, should one begin
--       2 to 5 the place up to which the caller saw the log: epoch ('' for none), generation, offset,
--              mark of the event there ('' for none)
--       6 '1': begin a new epoch   7 how much of what was missed to tell, in events
--       8 events kept              9 ms without an event after which all is forgotten
--       10 PUBLISH or SPUBLISH     11 channel   12 origin
--       then for each event: its count, the gift record it announces or '', the event
-- Reply 1 as JSON: e, g, o the place of the newest event; b the place before this batch; s for each
--         event its offset, 0 for a gift announced before, -1 for one that was applied before
--       2 what was missed, newest first   3 who heard the batch   4 1: the log is the one the caller saw
local order_key, events_key, applied_key, gifts_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local known_epoch, known_generation, known_offset, known_mark = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local fill = tonumber(ARGV[7])
local FIRST, FIELDS = 13, 3
local GIFTS_MAX = 4096
-- Longer than any caller repeats a batch.
local APPLIED_MS = 600000

local function place(generation, offset)
    return string.format('%.0f-%.0f', generation, offset)
end

local order = redis.call('HMGET', order_key, 'epoch', 'generation', 'offset')
local epoch, generation, offset = order[1], tonumber(order[2] or '0'), tonumber(order[3] or '0')

-- A log that was lost, or is older than what the caller saw of it, or went another way since, is not
-- the one that the caller saw. Of events that are kept no more nothing can be said.
local same = true
if not epoch then
    redis.call('DEL', events_key)
    same = known_epoch == ''
elseif known_epoch ~= '' then
    if generation < known_generation then
        same = false
    elseif generation == known_generation and (epoch ~= known_epoch or offset < known_offset) then
        same = false
    elseif known_mark ~= '' then
        local at = place(known_generation, known_offset)
        local seen = redis.call('XRANGE', events_key, at, at)[1]
        same = not seen or seen[2][2] == known_mark
    end
end

local applied = redis.call('HMGET', applied_key, 'count', 'reply')
local count = tonumber(applied[1] or '0')
if same and ARGV[6] ~= '1' and #ARGV >= FIRST and tonumber(ARGV[#ARGV - FIELDS + 1]) <= count then
    return { applied[2], {}, 0, 1 }
end

local missed = {}
if fill > 0 and epoch then
    local from = '-'
    if same and known_epoch ~= '' then
        from = '(' .. place(known_generation, known_offset)
    end
    missed = redis.call('XREVRANGE', events_key, '+', from, 'COUNT', fill)
end

local before = place(generation, offset)
local renewed = ARGV[6] == '1' or not same or not epoch
if renewed then
    epoch, generation, offset = ARGV[1], math.max(generation, known_generation) + 1, 0
end

local first_offset = offset + 1
local places, lines = {}, {}
for i = FIRST, #ARGV, FIELDS do
    local placed = -1
    if tonumber(ARGV[i]) > count then
        count = tonumber(ARGV[i])
        local record = ARGV[i + 1]
        if record ~= '' and redis.call('ZADD', gifts_key, 'NX', record, record) == 0 then
            placed = 0
        else
            offset = offset + 1
            placed = offset
            local mark = ARGV[12] .. '.' .. ARGV[i]
            redis.call('XADD', events_key, 'MAXLEN', '~', ARGV[8], place(generation, offset),
                'm', mark, 'e', epoch, 'p', ARGV[i + 2])
            lines[#lines + 1] = mark .. ' ' .. ARGV[i + 2]
        end
    end
    places[#places + 1] = placed
end

local reply = { e = epoch, g = generation, o = offset, b = before }
if #places > 0 then
    reply.s = places
end
local encoded = cjson.encode(reply)

local heard = 0
if renewed or #places > 0 then
    redis.call('HSET', order_key, 'epoch', epoch, 'generation', generation, 'offset', offset)
    redis.call('ZREMRANGEBYRANK', gifts_key, 0, -GIFTS_MAX - 1)
    for i = 1, 4 do
        redis.call('PEXPIRE', KEYS[i], ARGV[9])
    end
end
if #places > 0 then
    redis.call('HSET', applied_key, 'count', count, 'reply', encoded)
    redis.call('PEXPIRE', applied_key, APPLIED_MS)
end
if renewed or #lines > 0 then
    local head = cjson.encode({ e = epoch, g = generation, o = first_offset, b = before })
    table.insert(lines, 1, 'E' .. head)
    heard = redis.call(ARGV[10], ARGV[11], table.concat(lines, '\n'))
end
return { encoded, missed, heard, same and 1 or 0 }
