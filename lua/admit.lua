-- Decide whether an attempt may be sent now. One step claims the notification and spends its limits, or books a slot.
-- The arithmetic is that of policy/limits.py: the tests compare this script with its `spend`.
--
-- KEYS[1]  the record
-- KEYS[2]  the record of the destination: see settle.lua
-- KEYS[3]  exists while its recipient is on the suppression list
-- KEYS[4]  hash, exists while something of the organization is paused or off, each µs since the epoch: the end of the
--          pause of organization, channel/<name> and destination/<id>; the end of the time for which off/<id> is off
-- KEYS[5…] string, one for each limit: three integers, µs by the limit's own clock. `booked` is the theoretical arrival
--          time after all spent and booked slots, `sent` that after all sends. `skew` says how far the limit's clock is
--          ahead of the server's. The key expires once `booked` has passed
-- ARGV     1 token · 2 replays and 3 attempt of the message · 4 lease, µs · 5 TTL of the record, ms
--          6 1: the first byte follows at once, so this also does the work of begin.lua; else 0
--          7 horizon, µs · 8 tolerated lateness, µs · 9 channel · 10 destination, its id
--          then for each limit: its key, as name or name~era · interval, µs · tolerance, µs
--          at last the work unit · process · TTL of the story, ms
-- reply    as of claim.lua, or
--          {'disabled'}                the destination is switched off
--          {'unsubscribed'}            its recipient is on the suppression list
--          {'throttled', µs, name}     try again after this time, because of a limit, a Retry-After or a pause

local reply = answer(unpack(ARGV, 1, 6))
if reply then return refuse(reply) end
-- In one call, because usually there is neither.
local marked = redis.call('EXISTS', KEYS[3], KEYS[4]) > 0
if marked and redis.call('EXISTS', KEYS[3]) == 1 then return {'unsubscribed'} end
local place = redis.call('HMGET', KEYS[2], 'until', 'hold')
if tonumber(place[1] or 0) > now then return {'disabled'} end

local horizon, late = tonumber(ARGV[7]), tonumber(ARGV[8])

-- A claim that has run out is kept: the next claimer reads its takeovers and doubt.
local function wait(delay, limit, slot)
  redis.call('HSET', KEYS[1], 'attempt', ARGV[3], 'due', integer(now + delay))
  note(ARGV[2])
  if not claimed then
    redis.call('HSET', KEYS[1], 'state', 'waiting')
    redis.call('HDEL', KEYS[1], 'lease', 'takeovers', 'doubt', 'holder')
  end
  redis.call('HDEL', KEYS[1], 'limit', 'slot', 'text', 'notifications')
  if slot then redis.call('HSET', KEYS[1], 'limit', limit, 'slot', integer(slot)) end
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  local name = string.match(limit, '^[^~]*')
  local reason = limit == PAUSED and 'paused' or 'throttled'
  local why = '{"step":"admit","outcome":"deferred","reason":"%s","limit":"%s","attempt":%s,"work_unit_id":"%s"'
  append(KEYS[1], string.format(why, reason, name, ARGV[3], ARGV[#ARGV - 2]), now + delay, true)
  return {'throttled', delay, name}
end

-- An end that is later than any was written before this server's clock was set back: it is ignored.
local function left(value)
  local time = (tonumber(value) or 0) - now
  return time <= LONGEST_OVERRIDE * SECOND and time or 0
end

if marked then
  -- A key of another type holds no end that could be followed: an error here would hold the organization back for good.
  local ends = redis.pcall('HMGET', KEYS[4],
    'off/' .. ARGV[10], 'organization', 'channel/' .. ARGV[9], 'destination/' .. ARGV[10])
  if left(ends[1]) > 0 then return {'disabled'} end
  local paused = math.max(left(ends[2]), left(ends[3]), left(ends[4]))
  if paused > 0 then return wait(paused, PAUSED) end
end

-- A hold longer than the horizon was written before this server's clock was set back: it is ignored.
local hold = tonumber(place[2] or 0) - now
if hold > 0 and hold <= horizon then return wait(hold, HOLD) end

local function write(limit)
  local value = string.format('%.0f %.0f %.0f', limit.booked, limit.sent, limit.skew)
  redis.call('SET', limit.key, value, 'PX', integer(math.ceil((limit.booked - limit.now) / 1000) + LIMIT_MARGIN_MS))
end

local function read(number)
  local at = 3 * number - 4
  local name, interval, tolerance = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local booked, sent, skew = string.match(redis.call('GET', KEYS[number]) or '', '^(%d+) (%d+) (%d+)$')
  local limit = {key = KEYS[number], name = name, interval = interval, tolerance = tolerance, known = booked and true}
  limit.booked, limit.sent, limit.skew = tonumber(booked or 0), tonumber(sent or 0), tonumber(skew or 0)
  local ahead = limit.sent - tolerance - late - interval - now
  limit.now = now + math.max(limit.skew, ahead)
  if ahead > limit.skew then
    -- No send is so far ahead: the server's clock was set back. The limit's own clock goes on.
    limit.skew = ahead
    write(limit)
  end
  return limit
end

local limits, slowest, longest = {}, nil, 0
for number = 5, #KEYS do
  limits[#limits + 1] = read(number)
end
for _, limit in ipairs(limits) do
  local ours = limit.known and record.limit == limit.name
  if ours and record.slot > limit.now then return wait(record.slot - limit.now, limit.name, record.slot) end
  limit.paid = ours and limit.sent - limit.tolerance - late <= limit.now
  local delay = math.max(limit.booked, limit.now) - limit.tolerance - limit.now
  if not limit.paid and delay > longest then slowest, longest = limit, delay end
end

if slowest then
  if longest > horizon then return wait(horizon, slowest.name) end
  slowest.booked = math.max(slowest.booked, slowest.now) + slowest.interval
  write(slowest)
  return wait(longest, slowest.name, slowest.now + longest)
end
for _, limit in ipairs(limits) do
  if not limit.paid then limit.booked = math.max(limit.booked, limit.now) + limit.interval end
  limit.sent = math.max(limit.sent, limit.now) + limit.interval
  limit.booked = math.max(limit.booked, limit.sent)
  write(limit)
end
return take(unpack(ARGV, 1, 6))
