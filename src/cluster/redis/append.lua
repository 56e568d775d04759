-- Appends events to the logs of rooms, numbers and publishes them, and returns what the caller missed. Each room is
-- appended to in one step. Doing the same again changes nothing: each origin counts its events. A room that fails, as
-- when a key holds something else, fails alone.
--
-- In a Redis Cluster all keys of a call belong to one slot, so there it is one room.
--
-- KEYS  for each room:
--       1 order    hash: epoch, generation, offset of the newest event; gap: the newest generation before which events
--                  were dropped by the node that began it; last: generation-offset and mark of an event of the log.
--                  Versions that do not know `last` do not write it, so it may be of an earlier event than the newest.
--                  controls: how many controls were appended. Those of versions that do not know it are not counted
--                  until: Unix time in ms at which the keys expire
--                  a field for each of the origins that appended last: the count of its events so far and, of its
--                  last batch, epoch, generation, place before it, offset and places
--       2 events   stream: the newest events, at generation-offset
--       3 gifts    sorted set: the newest gifts that were announced
--       4 actions  sorted set: the keys of the newest actions, by time
--       5 controls stream: the newest controls, each with the position of the event before it
--       6 held     sorted set: the keys of the newest held comments and of decisions on them, by time; apart from
--                  actions, for a room that delays all comments has many
-- ARGV  1 PUBLISH or SPUBLISH   2 events kept   3 ms without an event after which all is forgotten, at the earliest
--       then for each room:
--       1 name of a new epoch, should one begin
--       2 the epoch that the caller saw; '' for none
--       3 the place up to which it saw the log: generation-offset, a space and, if it knows it, the mark of the event
--         there
--       4 how many controls the log had there
--       5 '1': begin a new epoch   6 how many missed events to return at most; with entries and without a new epoch
--         they are returned only if events or controls were missed
--       7 channel                  8 origin; '' for an action, whose key alone prevents that it is appended twice
--       9 '1': the caller dropped events that other nodes do not have
--      10 number of entries, and for each entry: its count, its key or '', the event or control. Keys: 'g' and the
--         gift record that an event announces; 'a' for an event, 'c' for a control or 'p' for a preview, which is a control that is published
--         and not kept, that an action adds, and its mark
-- Reply for each room:
--       1 as JSON: gap if there is one; k how many controls there are, if any; e, g, o the place of the newest event;
--         b the place before this batch; s for each entry its offset, 0 for a control and for a key that was there, -1
--         for one that was applied before
--       2 1: the log is the one the caller saw
--       if missed events were asked for and are returned:
--       3 the missed events, newest first   4 the newest controls, newest first
--       or the text of an error. If every room failed, the call fails with the first error.
local ROOM_KEYS, ROOM_FIELDS, ENTRY_FIELDS = 6, 10, 3
local FIRST_ROOM = 4
local GIFTS_MAX = 4096
local ACTIONS_MAX, CONTROLS_MAX = 4096, 128
-- Keys of held comments are kept for so many seconds, far longer than they are repeated, and at most so many of them.
local HELD_S, HELD_MAX = 3600, 65536
-- The origins of these keys.
local HELD_ORIGINS = { ['0000000000000003'] = true, ['0000000000000004'] = true }
-- Fields of a hash, beyond which the origins that appended longest ago are forgotten, and how many stay. Redis keeps
-- small hashes in a form that is read and written faster, by default those of up to 128 fields of up to 64 bytes.
local ORDER_FIELDS_MAX, ORIGINS_KEPT = 120, 60
-- Events between two that have the stream trimmed.
local TRIM_EVERY = 64
-- Keys live that much longer than they must, so that few batches have to prolong them.
local SPARE_MS = 60000

local call, format, concat = redis.call, string.format, table.concat
local publish, events_max, kept_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- An integer in decimal. Far faster than '%.0f', and tostring() would write large ones as 1e+15.
local function decimal(number)
    return format('%d', number)
end

-- What precedes the first space, and what follows it.
local function split(text)
    return string.match(text, '^([^ ]*) (.*)$')
end

-- Generation and offset of a place.
local function numbers(place)
    local generation, offset = string.match(place, '^(%d+)-(%d+)')
    return tonumber(generation), tonumber(offset)
end

local now_ms
-- One for all rooms of a call.
local function now()
    if not now_ms then
        local time = call('TIME')
        now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
    end
    return now_ms
end

local function prolong(...)
    for _, key in ipairs({ ... }) do
        call('PEXPIRE', key, kept_ms + SPARE_MS)
    end
end

-- Forgets the origins that appended longest ago, if a hash has too many.
local function forget_origins(order_key)
    if call('HLEN', order_key) < ORDER_FIELDS_MAX then
        return
    end
    local origins, fields = {}, call('HGETALL', order_key)
    for i = 1, #fields, 2 do
        local generation, offset = string.match(fields[i + 1], '^%d+ %S+ (%d+) %S+ (%d+) ')
        if generation then
            origins[#origins + 1] = { fields[i], tonumber(generation), tonumber(offset) }
        end
    end
    table.sort(origins, function(one, other)
        return one[2] > other[2] or (one[2] == other[2] and one[3] > other[3])
    end)
    for i = ORIGINS_KEPT + 1, #origins do
        call('HDEL', order_key, origins[i][1])
    end
end

-- What a reply and a message begin with.
local function head_of(epoch, generation, before, gap, controls_count)
    local head = '{"e":"' .. epoch .. '","g":' .. generation .. ',"b":"' .. before .. '"'
    if gap ~= '0' then
        head = head .. ',"gap":' .. gap
    end
    if controls_count ~= '0' then
        head = head .. ',"k":' .. controls_count
    end
    return head
end

local function reply_of(head, offset, places)
    return head .. ',"o":' .. offset .. ',"s":[' .. places .. ']}'
end

-- Whether the log is the one that the caller saw. A log that was lost, or is older than what the caller saw of it, or
-- went another way since, is not. Of events that are kept no more nothing can be said.
local function is_same(events_key, epoch, generation, offset, last, known_epoch, known_last)
    if known_epoch == '' then
        return true
    elseif epoch == known_epoch and last == known_last then
        return true
    elseif not epoch then
        return false
    end
    local place, mark = split(known_last)
    local known_generation, known_offset = numbers(place)
    if generation < known_generation then
        return false
    elseif generation == known_generation and (epoch ~= known_epoch or offset < known_offset) then
        return false
    elseif mark == '' then
        return true
    end
    local seen = call('XRANGE', events_key, place, place)[1]
    return not seen or seen[2][2] == mark
end

-- Whether a key is new. From now on it is not.
local function take_key(kind, name, gifts_key, actions_key, held_key)
    local key, score, max = gifts_key, name, GIFTS_MAX
    if kind ~= 'g' and HELD_ORIGINS[string.sub(name, 1, 16)] then
        key, score, max = held_key, call('TIME')[1], HELD_MAX
        call('ZREMRANGEBYSCORE', key, '-inf', score - HELD_S)
    elseif kind ~= 'g' then
        key, score, max = actions_key, call('TIME')[1], ACTIONS_MAX
    end
    local is_new = call('ZADD', key, 'NX', score, name) == 1
    call('ZREMRANGEBYRANK', key, 0, -max - 1)
    prolong(key)
    return is_new
end

-- One room, whose keys begin at KEYS[key], and its arguments at ARGV[at]; the last entry is at ARGV[last_entry].
local function append_room(key, at, last_entry)
    local order_key, events_key = KEYS[key], KEYS[key + 1]
    local gifts_key, actions_key, controls_key, held_key = KEYS[key + 2], KEYS[key + 3], KEYS[key + 4], KEYS[key + 5]
    local known_epoch, known_last, known_controls = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    local renew, fill, origin = ARGV[at + 4] == '1', ARGV[at + 5], ARGV[at + 7]
    local first_entry = at + ROOM_FIELDS
    local has_entries = last_entry >= first_entry

    local order = call('HMGET', order_key, 'epoch', 'generation', 'offset', 'gap', 'last', 'controls', 'until', origin)
    local epoch, generation, offset, gap = order[1], order[2] or '0', order[3] or '0', order[4] or '0'
    local controls_count, expires_at, applied = order[6] or '0', tonumber(order[7] or '0'), has_entries and order[8]
    local same = is_same(events_key, epoch, tonumber(generation), tonumber(offset), order[5], known_epoch, known_last)
    if not epoch then
        call('DEL', events_key, controls_key)
    end

    local count = 0
    if applied then
        count = tonumber(string.match(applied, '^%d+'))
        if same and not renew and tonumber(ARGV[last_entry]) <= count then
            local pattern = '^%d+ (%S+) (%S+) (%S+) (%S+) (%S*)$'
            local its_epoch, its_generation, its_before, its_offset, its_places = string.match(applied, pattern)
            local head = head_of(its_epoch, its_generation, its_before, gap, controls_count)
            return { reply_of(head, its_offset, its_places), 1 }
        end
    elseif has_entries and origin ~= '' then
        forget_origins(order_key)
    end

    local before = generation .. '-' .. offset
    local is_behind = string.sub(known_last, 1, #before + 1) ~= before .. ' ' or known_controls ~= controls_count
    local missed, newest_controls = nil, nil
    if fill ~= '0' and (is_behind or renew or not has_entries) then
        missed = {}
        newest_controls = call('XREVRANGE', controls_key, '+', '-', 'COUNT', CONTROLS_MAX)
        if epoch then
            local from = same and known_epoch ~= '' and '(' .. split(known_last) or '-'
            missed = call('XREVRANGE', events_key, '+', from, 'COUNT', fill)
        end
    end

    local renewed = renew or not same or not epoch
    if renewed then
        epoch, offset = ARGV[at], '0'
        generation = decimal(math.max(tonumber(generation), (numbers(known_last))) + 1)
        if ARGV[at + 8] == '1' then
            gap = generation
        end
    end

    local number, last = tonumber(offset), nil
    local first = number + 1
    local places, lines, controls, previews = {}, { '' }, {}, {}
    for i = first_entry, last_entry, ENTRY_FIELDS do
        local placed = '-1'
        if tonumber(ARGV[i]) > count then
            count = tonumber(ARGV[i])
            placed = '0'
            local kind, name = string.sub(ARGV[i + 1], 1, 1), string.sub(ARGV[i + 1], 2)
            local line = ARGV[i + 2]
            local is_action = kind == 'a' or kind == 'c' or kind == 'p'
            local mark = is_action and name or origin .. '.' .. ARGV[i]
            if kind ~= '' and not take_key(kind, name, gifts_key, actions_key, held_key) then
                -- It is in the log already.
            elseif kind == 'p' then
                previews[#previews + 1] = { m = mark, p = line }
            elseif kind == 'c' then
                call('XADD', controls_key, 'MAXLEN', CONTROLS_MAX, '*',
                    'm', mark, 'a', generation .. '-' .. offset, 'p', line)
                prolong(controls_key)
                controls[#controls + 1] = { m = mark, o = number, p = line }
            else
                number = number + 1
                offset = decimal(number)
                placed = offset
                local place = generation .. '-' .. offset
                local is_there = call('XADD', events_key, 'NOMKSTREAM', place, 'm', mark, 'e', epoch, 'p', line)
                if not is_there then
                    -- A new stream, or something has deleted it: it does not expire yet.
                    call('XADD', events_key, place, 'm', mark, 'e', epoch, 'p', line)
                    expires_at = 0
                end
                if number % TRIM_EVERY == 0 or (renewed and not last) then
                    call('XTRIM', events_key, 'MAXLEN', '~', events_max)
                end
                last = place .. ' ' .. mark
                -- In pieces: Redis hashes every byte of each string that is made.
                local size = #lines
                lines[size + 1], lines[size + 2], lines[size + 3], lines[size + 4] = '\n', mark, ' ', line
            end
        end
        places[#places + 1] = placed
    end

    if renewed then
        call('HSET', order_key, 'epoch', epoch, 'generation', generation, 'offset', offset)
        if gap ~= '0' then
            call('HSET', order_key, 'gap', gap)
        end
    end
    if #controls > 0 then
        controls_count = decimal(tonumber(controls_count) + #controls)
        call('HSET', order_key, 'controls', controls_count)
    end
    places = concat(places, ',')
    if has_entries and origin ~= '' then
        applied = concat({ decimal(count), epoch, generation, before, offset, places }, ' ')
    end
    if last and applied then
        call('HSET', order_key, 'offset', offset, 'last', last, origin, applied)
    elseif last then
        call('HSET', order_key, 'offset', offset, 'last', last)
    elseif applied then
        call('HSET', order_key, origin, applied)
    end
    local changed = renewed or last or #controls > 0
    if changed and (renewed or expires_at < now() + kept_ms) then
        prolong(order_key, events_key, gifts_key)
        call('HSET', order_key, 'until', decimal(now() + kept_ms + SPARE_MS))
    end
    local head = head_of(epoch, generation, before, gap, controls_count)
    if changed or #previews > 0 then
        local news = #controls > 0 and ',"c":' .. cjson.encode(controls) or ''
        if #previews > 0 then
            news = news .. ',"p":' .. cjson.encode(previews)
        end
        lines[1] = 'E' .. head .. ',"o":' .. decimal(first) .. news .. '}'
        call(publish, ARGV[at + 6], concat(lines))
    end
    return { reply_of(head, offset, places), same and 1 or 0, missed, newest_controls }
end

local replies, failures, first_failure = {}, 0, nil
local at = FIRST_ROOM
for key = 1, #KEYS, ROOM_KEYS do
    local next_at = at + ROOM_FIELDS + ENTRY_FIELDS * tonumber(ARGV[at + ROOM_FIELDS - 1])
    local worked, reply = pcall(append_room, key, at, next_at - ENTRY_FIELDS)
    if not worked then
        failures, first_failure = failures + 1, first_failure or reply
        reply = type(reply) == 'table' and reply.err or tostring(reply)
    end
    replies[#replies + 1] = reply
    at = next_at
end
if failures > 0 and failures == #replies then
    error(first_failure)
end
return replies
