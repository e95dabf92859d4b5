-- The record of one unit or notification, and the functions that all scripts share. This text goes before each script.
--
-- KEYS[1]  hash, one record; each change sets its expiry to the ledger's TTL
--   state          claimed | transmitting | waiting | delivered | suppressed | dead | done
--                  transmitting: claimed, and the first byte may have left
--   replays        how often it was dead and moved back; missing if never
--   attempt        the number of the attempt since then. A message with fewer replays, or with as many and a lower
--                  attempt, is stale
--   fence          how often it was claimed
--   token          the delivery that claimed it last
--   holder         the process of that delivery; only while claimed
--   first          µs since the epoch, and the process: its first claim by claim.lua. It is not in the story, because
--                  most units are claimed once, and have none
--   lease          µs since the epoch: the end of that claim; only while claimed
--   takeovers      claims in a row that ran out without an outcome
--   doubt          exists if one of these ran out while it was transmitting
--   noted          µs since the epoch: its end without any claim, of a unit that no worker began
--   due            µs since the epoch: when its parked copy comes back; only while waiting
--   limit, slot    its booking: on which limit, by key, and for when, by that limit's own clock (see admit.lua)
--   text           the receipt, or the reason; only after the end
--   notifications  ids separated by spaces, and slices of the unit, as /name; only of a unit that has ended
-- its story        list, under KEYS[1]:story, or …:unit-story:<id> of a unit, which no id can form: JSON objects, oldest first; it expires before the record. Beside the facts of an
--                  event, each has `process` and `t`, µs since the epoch; `until`, of what waits; `times` and `since`, µs,
--                  of a repetition
-- ARGV[#-1]        this process, in all scripts that append · ARGV[#] TTL of the story, ms
--
-- Times are integer µs of this server's clock. They are written with '%.0f': tostring() would round them.
-- Names in capitals are constants: notification_sender/adapters/redis/constants.py.

local clock = redis.call('TIME')
local now = clock[1] * SECOND + clock[2]

local stored = redis.call('HMGET', KEYS[1],
  'state', 'attempt', 'fence', 'token', 'lease', 'takeovers', 'doubt', 'limit', 'slot', 'replays', 'holder')
local record = {
  state = stored[1] or nil,
  attempt = tonumber(stored[2] or 0),
  fence = tonumber(stored[3] or 0),
  token = stored[4] or nil,
  lease = tonumber(stored[5] or 0),
  takeovers = tonumber(stored[6] or 0),
  doubt = stored[7] and true,
  limit = stored[8] or nil,
  slot = tonumber(stored[9] or 0),
  replays = tonumber(stored[10] or 0),
  holder = stored[11] or '',
}
local claimed = record.state == 'claimed' or record.state == 'transmitting'
local waiting = record.state == 'waiting'
local over = record.state ~= nil and not claimed and not waiting

local function integer(number)
  return string.format('%.0f', number)
end

-- Append an event to the story of the record at `key`. `head` is JSON without its closing brace. With `counted`, an event
-- with the head of the last one is counted in that: a copy may be put off a thousand times for one reason.
-- A story decides nothing. If Redis is full, the event is lost, and the reply or the record is not.
local function append(key, head, till, counted)
  local story, units = string.gsub(key, '}:unit:', '}:unit-story:', 1)
  if units == 0 then story = key .. ':story' end
  local last = counted and redis.pcall('LINDEX', story, -1)
  local tail = string.format(',"process":"%s","t":%.0f', ARGV[#ARGV - 1], now)
  if till then tail = string.format('%s,"until":%.0f', tail, till) end
  local start = head .. ',"process":"'
  local written
  if type(last) == 'string' and string.sub(last, 1, #start) == start then
    local rest = string.sub(last, #head + 1)
    local times = tonumber(string.match(rest, '"times":(%d+)') or 1) + 1
    local since = string.match(rest, '"since":(%d+)') or string.match(rest, '"t":(%d+)')
    written = redis.pcall('LSET', story, -1, string.format('%s%s,"times":%d,"since":%s}', head, tail, times, since))
  else
    written = redis.pcall('RPUSH', story, head .. tail .. '}')
  end
  -- Nor may a command follow that takes no memory: after it, Redis would let the script continue. See settle.lua.
  if type(written) == 'table' and written.err then return end
  redis.call('LTRIM', story, -STORY_ATTEMPTS, -1)
  redis.call('PEXPIRE', story, ARGV[#ARGV])
end

local function owned(token, fence)
  return record.token == token and record.fence == tonumber(fence)
end

-- By how much the message is later than the record. Negative: it is stale.
local function lead(replays, attempt)
  local more = tonumber(replays) - record.replays
  return more ~= 0 and more or tonumber(attempt) - record.attempt
end

-- Most records were never dead. They have no such field.
local function note(replays)
  if replays ~= '0' then redis.call('HSET', KEYS[1], 'replays', replays) end
end

-- Claim the record for `lease` µs. With `begun` = '1' its first byte may leave. The same token means that a reply was
-- lost: this is no takeover. Such a repetition leaves the state `transmitting` as it is.
local function take(token, replays, attempt, lease, ttl, begun)
  local again = claimed and record.token == token
  local taken = claimed and not again
  local fence = again and record.fence or record.fence + 1
  local takeovers = taken and record.takeovers + 1 or record.takeovers
  local doubt = record.doubt or taken and record.state == 'transmitting'
  local state = begun == '1' and 'transmitting' or again and record.state or 'claimed'
  redis.call('HSET', KEYS[1], 'state', state, 'attempt', attempt, 'fence', integer(fence), 'token', token,
    'holder', ARGV[#ARGV - 1], 'lease', integer(now + lease), 'takeovers', takeovers)
  note(replays)
  if record.state then redis.call('HDEL', KEYS[1], 'doubt', 'due', 'limit', 'slot', 'text', 'notifications') end
  if doubt then redis.call('HSET', KEYS[1], 'doubt', 1) end
  redis.call('PEXPIRE', KEYS[1], ttl)
  if taken then
    local from = '{"step":"claim","outcome":"taken_over","attempt":%s,"from":"%s"'
    append(KEYS[1], string.format(from, attempt, record.holder))
  end
  return {'mine', fence, takeovers, doubt and 1 or 0}
end

-- Whether what has ended may begin again: it is dead, or its destination was off.
local function may_open()
  if record.state ~= 'suppressed' then return record.state == 'dead' end
  return string.sub(redis.call('HGET', KEYS[1], 'text') or '', 1, #WITHHELD) == WITHHELD
end

-- Reopen the record of a dead letter, or of a withheld notification, that was moved back. Another copy of it reopens
-- nothing.
local function open(replays, attempt)
  redis.call('HSET', KEYS[1], 'state', 'waiting', 'replays', replays, 'attempt', attempt)
  redis.call('HDEL', KEYS[1], 'text', 'notifications')
  append(KEYS[1], string.format('{"step":"replay","outcome":"reopened","replays":%s', replays))
end

-- The reply that a claim gets because of the record's state, checked in this order; nil: the record is free.
local function answer(token, replays, attempt, lease, ttl, begun)
  if over then
    if tonumber(replays) <= record.replays or not may_open() then return {'settled', record.state} end
    open(replays, attempt)
    return nil
  end
  local later = lead(replays, attempt)
  if later < 0 then return {'stale'} end
  -- A later copy is parked or dead-lettered only after the attempt has ended. The holder had no time to record the end.
  if claimed and later > 0 and record.lease <= now then
    claimed, record.takeovers, record.doubt, record.limit = false, 0, false, nil
  end
  if claimed and record.token == token then return take(token, replays, attempt, lease, ttl, begun) end
  -- A claim longer than any lease was written before this server's clock was set back: try again after one lease.
  if claimed and record.lease > now then return {'busy', math.min(record.lease - now, tonumber(lease))} end
  return nil
end

-- Append a reply after which nothing else is recorded.
local function refuse(reply)
  if reply[1] == 'settled' then
    append(KEYS[1], string.format('{"step":"claim","outcome":"deduplicated","reason":"already_%s"', reply[2]), nil, true)
  elseif reply[1] == 'stale' then
    append(KEYS[1], '{"step":"claim","outcome":"deduplicated","reason":"stale"', nil, true)
  elseif reply[1] == 'busy' then
    append(KEYS[1], '{"step":"claim","outcome":"deferred","reason":"claimed_elsewhere"', now + reply[2], true)
  end
  return reply
end
