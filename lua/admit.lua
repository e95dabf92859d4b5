-- May this attempt be sent now? The claim and all its limits in one step, or nothing but a booked slot.
-- The arithmetic is policy/limits.py; `spend` there is what the tests hold this against.
--
-- KEYS[1]  the record
-- KEYS[2]  string, there while the destination is switched off
-- KEYS[3…] string, one for each limit: its theoretical arrival time, µs since the epoch; gone once that has passed
-- ARGV     1 token · 2 attempt of the message · 3 replayed, 1 or 0 · 4 lease, µs · 5 TTL of the record, ms
--          6 horizon, µs · then for each limit: name · interval, µs · tolerance, µs · grace of a booking, µs
-- reply    as of claim.lua, or
--          {'disabled'}                the destination is switched off
--          {'throttled', µs, limit}    not before so long, because of this limit

local MARGIN = 1000  -- ms that a theoretical arrival time outlives itself

local told = answer(unpack(ARGV, 1, 5))
if told then return told end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'disabled'} end

local horizon = tonumber(ARGV[6])

local function move(limit, tat)
  redis.call('SET', limit.key, integer(tat), 'PX', integer(math.ceil((tat - now) / 1000) + MARGIN))
end

-- A claim that ran out stays one: whoever claims next finds the outcome unknown.
local function wait(limit, due, booked)
  redis.call('HSET', KEYS[1], 'state', claimed and 'claimed' or 'waiting', 'attempt', ARGV[2])
  redis.call('HDEL', KEYS[1], 'limit', 'due', 'text', 'notifications')
  if not claimed then redis.call('HDEL', KEYS[1], 'lease', 'takeovers') end
  if booked then redis.call('HSET', KEYS[1], 'limit', limit, 'due', integer(due)) end
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  return {'throttled', due - now, limit}
end

-- What is further ahead than anything is booked was written before this server's clock was set back: a booking
-- is asked for anew, a limit counts as just spent.
local booked = record.limit ~= nil and record.due <= now + horizon
if booked and now < record.due then return wait(record.limit, record.due, true) end

local unpaid, slowest = {}, nil
for place = 3, #KEYS do
  local at = 7 + (place - 3) * 4
  local interval, tolerance, grace = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if not (booked and record.limit == ARGV[at] and now - record.due <= grace) then
    local tat = math.max(tonumber(redis.call('GET', KEYS[place]) or 0), now)
    if tat > now + horizon + tolerance + interval then tat = now + tolerance + interval end
    local limit = {key = KEYS[place], name = ARGV[at], due = tat - tolerance, next = tat + interval}
    unpaid[#unpaid + 1] = limit
    if not slowest or limit.due > slowest.due then slowest = limit end
  end
end

if slowest and slowest.due > now then
  if slowest.due - now > horizon then return wait(slowest.name, now + horizon, false) end
  move(slowest, slowest.next)
  return wait(slowest.name, slowest.due, true)
end
for _, limit in ipairs(unpaid) do
  move(limit, limit.next)
end
return take(ARGV[1], ARGV[2], ARGV[4], ARGV[5])
