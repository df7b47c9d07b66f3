-- Everything that a node asks of Redis, in one call: count, as MemoryState does, and tell what is new in quarantine.
--
-- Law: a call does what state/memory.py does, with the same arithmetic, in doubles. A key that somebody else has written
-- is the fault of its call alone, and stays as it is. Whatever is written runs out by itself.
--
-- KEYS  one for each call; then, or alone, the four of the quarantine: head, entries, log, ends.
-- ARGV  the time, empty for the server's; the number of calls; of each call seven: kind (f, s, d, t; S counts also what
--       does not fit), most, period, amount, only_if, unless, and the value or the steps. Then, with the keys of the quarantine: the id and the sequence number that
--       the node knows, an id for a new quarantine, how many entries one answer may bring, and changes, each of six:
--       what, its field, the field of a lift of its value, until, at, and the entry.
-- Returns lines: "ID SEQUENCE" ("-" without the quarantine, "!" if its keys are somebody else's); then of each call three
--       numbers of 8 bytes, the total and two times in microseconds: total -1 did not count, and -2 is not our key; then
--       the changes that are new.

local BASE = 1767225600 -- 2026: small numbers are exact numbers
local n = tonumber(ARGV[2])
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = time[1] - BASE + time[2] / 1000000
end

local totals, mosts = {}, {}

local function complete(list)
    for at in string.gmatch(list, '%d+') do
        at = tonumber(at) + 1
        if totals[at] and totals[at] >= mosts[at] then return true end
    end
    return false
end

-- "TIME WRITTEN COUNT", as it was written then. If the server's clock was set back since, so is the time: else a window
-- would last for as long as that.
local function read(text)
    local time, written, count = string.match(text, '^(%S+) (%S+) (%d+)$')
    time, written = tonumber(time), tonumber(written)
    if not (time and written) or time ~= time or written ~= written then error('WRONGTYPE') end
    if now < written then time = time - (written - now) end
    return time, tonumber(count)
end

local function write(time, count) return string.format('%.17g %.17g %.0f', time, now, count) end

-- What is said of a call.
local function said(total, reset, wait)
    local function number(value) return math.min(math.floor(value + 0.5), 2 ^ 53) end
    return struct.pack('<i8I8I8', number(total), number(reset * 1e6), number(wait * 1e6))
end

-- A second more than needed: keys run out in whole milliseconds, and by another clock in tests.
local function life(seconds) return string.format('%.0f', math.ceil(seconds * 1000) + 1000) end

local function windowed(key, kind, most, period, amount, value)
    local text = redis.call('GET', key)
    local ends, known, fresh = now + period, 0, true
    if text then
        local e, c = read(text)
        if e > now then ends, known, fresh = math.min(e, ends), c, false end
    end
    local count, kept = known + (amount > 0 and amount or 1), known + amount
    if kind == 't' then
        count, kept = known, known
        if string.find(value, ',' .. string.format('%.0f', known) .. ',', 1, true) then
            count = known + 1
            kept = math.min(count, most - 1)
        end
    end
    if kept > 0 and (fresh or kept ~= known) then
        redis.call('SET', key, write(ends, kept), 'PX', life(ends - now))
    end
    return count, ends - now, kept >= most and ends - now or 0
end

local function distinct(key, most, period, amount, value)
    local text = redis.call('HGET', key, 'e')
    local ends, size, fresh = now + period, 0, true
    if text then
        local e = read(text)
        if e > now then ends, size, fresh = math.min(e, ends), redis.call('HLEN', key) - 1, false end
    elseif redis.call('EXISTS', key) == 1 then
        error('WRONGTYPE')
    end
    local has = not fresh and redis.call('HEXISTS', key, value) == 1
    local count = has and size or size + 1
    if amount > 0 and not has and size <= most then
        size = size + 1
        if fresh then redis.call('DEL', key) end
        redis.call('HSET', key, 'e', write(ends, 0), value, '')
        redis.call('PEXPIRE', key, life(ends - now))
    end
    return count, ends - now, size >= most and ends - now or 0
end

-- GCRA (ITU-T I.371): the time at which all that has come would be used up.
local function sliding(key, most, period, amount, always)
    if most == 0 then return amount > 0 and amount or 1, 0, period end
    local interval, arrival = period / most, now
    local text = redis.call('GET', key)
    if text then arrival = math.max(now, (read(text))) end
    local further = arrival + (amount > 0 and amount or 1) * interval
    local count = math.ceil((further - now) / interval - 1e-9)
    if (always or count <= most) and amount > 0 then
        redis.call('SET', key, write(further, 0), 'PX', life(further - now))
        arrival = further
    end
    return count, arrival - now, math.max(0, arrival + interval - now - period)
end

local function count(i)
    local at = 3 + (i - 1) * 7
    local kind, most, period = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local amount, only, unless, value = tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
    mosts[i] = most
    if (only ~= '' and not complete(only)) or complete(unless) then return said(-1, 0, 0) end
    local total, reset, wait
    if kind == 's' or kind == 'S' then
        total, reset, wait = sliding(KEYS[i], most, period, amount, kind == 'S')
    elseif kind == 'd' then
        total, reset, wait = distinct(KEYS[i], most, period, amount, value)
    else
        total, reset, wait = windowed(KEYS[i], kind, most, period, amount, value)
    end
    totals[i] = total
    return said(total, reset, wait)
end

local TOMB, MOST, BYTES = 604800, 100000, 262144
local head, entries, log, ends = KEYS[n + 1], KEYS[n + 2], KEYS[n + 3], KEYS[n + 4]

local function forget(field)
    redis.call('HDEL', entries, field)
    redis.call('ZREM', log, field)
    redis.call('ZREM', ends, field)
end

-- h: hold. r: hold again what was held before the node was away, unless it was lifted since. l: lift the value, whatever
-- its actions are: that stands beside what it has ended, in a field of its own.
local function change(what, field, lifted, till, at, entry)
    local wall = now + BASE
    local lift = tonumber(string.match(redis.call('HGET', entries, lifted) or '', '^l %S+ (%S+) ')) or -math.huge
    if what == 'l' then
        field, till = lifted, string.format('%.17g', math.min(tonumber(till), wall + TOMB))
    else
        if what == 'r' and lift >= tonumber(at) then return end
        local had_till, had_at = string.match(redis.call('HGET', entries, field) or '', '^h (%S+) (%S+) ')
        had_till, had_at = tonumber(had_till), tonumber(had_at)
        if had_till and had_till > wall and had_at > lift and had_till >= tonumber(till) then return end
        what = 'h'
    end
    redis.call('HSET', entries, field, what .. ' ' .. till .. ' ' .. at .. ' ' .. entry)
    redis.call('ZADD', log, redis.call('HINCRBY', head, 'seq', 1), field)
    redis.call('ZADD', ends, till, field)
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', wall, 'LIMIT', 0, 20)) do forget(gone) end
    if redis.call('ZCARD', ends) > MOST then forget(redis.call('ZRANGE', ends, 0, 0)[1]) end
end

local function quarantine()
    local at = 3 + n * 7
    local known, seen, fresh, most = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
    local id = redis.call('HGET', head, 'id')
    if not id then
        id = fresh
        local last = redis.call('ZREVRANGE', log, 0, 0, 'WITHSCORES')
        redis.call('HSET', head, 'id', id, 'seq', last[2] or 0)
    end
    for op = at + 4, #ARGV, 6 do change(unpack(ARGV, op, op + 5)) end
    local sequence = tonumber(redis.call('HGET', head, 'seq'))
    if not sequence then error('WRONGTYPE') end
    if known ~= id then seen = 0 end
    local news, bytes = {}, 0
    if sequence > seen then
        local found = redis.call('ZRANGEBYSCORE', log, '(' .. string.format('%.0f', seen), '+inf', 'WITHSCORES', 'LIMIT', 0, most)
        for i = 1, #found, 2 do
            local entry = redis.call('HGET', entries, found[i])
            if entry then
                bytes = bytes + #entry
                if bytes > BYTES and #news > 0 then break end
                news[#news + 1] = entry
            end
            seen = tonumber(found[i + 1])
        end
        if #found < 2 * most and bytes <= BYTES then seen = sequence end
    end
    return id .. string.format(' %.0f', seen), news
end

-- Whose fault an error is: that of the key, or nobody knows.
local function theirs(problem)
    local text = type(problem) == 'table' and problem.err or tostring(problem)
    if string.find(text, 'WRONGTYPE', 1, true) then return nil end
    return redis.error_reply(text)
end

local answers = {}
for i = 1, n do
    local fine, answer = pcall(count, i)
    if not fine then
        local problem = theirs(answer)
        if problem then return problem end
        answer = said(-2, 0, 0)
    end
    answers[i] = answer
end
local token, news = '-', {}
if head then
    local fine, known, changes = pcall(quarantine)
    if fine then
        token, news = known, changes
    else
        local problem = theirs(known)
        if problem then return problem end
        token = '!'
    end
end
return token .. '\n' .. table.concat(answers) .. '\n' .. table.concat(news, '\n')
