-- Record the end, or give the claim up. Only the holder of the claim may do so. A repetition changes nothing.
--
-- KEYS[1]  the record
-- KEYS[2]  after an attempt: hash, the record of its destination; it exists while the destination has a fault
--            failing  µs since the epoch: since when it has accepted nothing
--            off      why it was switched off: gone or failing. Deleted by the next acceptance
--            until    µs since the epoch: the end of the time for which it is off
--            hold     µs since the epoch: the destination asked for no delivery before this time
-- KEYS[#]  the last key, for the only notification of its unit: the record of the unit, which is done with it
-- ARGV     1 token · 2 fence; 0 without a claim: written only if the record is neither claimed nor ended
--          3 new state · 4 attempt to wait for · 5 delay until it comes back, µs · 6 text · 7 notifications
--          8 TTL of the record, ms · 9 token, 10 fence and 11 notification of the unit, or three empty strings
--          12 the end, for the story: JSON, or empty · 13 after an attempt: accepted, failed, gone or neither, else empty
--          14 hold, µs, or 0 · 15 µs of failing after which it is switched off · 16 for how many µs · 17 process
--          18 TTL of the story, ms
-- reply    {ok, unit}; {lost, 0}: another process took the claim, and nothing was written; {disabled, unit} or
--          {recovered, unit}: ok, and the state of the destination changed. unit: 1 if the unit's end is recorded

local token, fence, state, attempt, delay, text, notifications, ttl = unpack(ARGV, 1, 8)

-- Record the end of the unit, as a separate call would. 0: another process took its claim.
local function finish_unit(key, unit_token, unit_fence, notification)
  local unit = redis.call('HMGET', key, 'state', 'token', 'fence')
  if unit[2] ~= unit_token or unit[3] ~= unit_fence then return 0 end
  if unit[1] == 'claimed' or unit[1] == 'transmitting' then
    redis.call('HDEL', key, 'lease', 'takeovers', 'doubt', 'due', 'limit', 'slot', 'holder')
    redis.call('HSET', key, 'state', 'done', 'text', '', 'notifications', notification)
    redis.call('PEXPIRE', key, ttl)
    return 1
  end
  return unit[1] == 'done' and 1 or 0
end

local function settle()
  if fence == '0' then
    if over or claimed and record.lease > now then return 'lost' end
  else
    if not owned(token, fence) then return 'lost' end
    if not claimed then return record.state == state and 'ok' or 'lost' end
  end

  -- First a command that takes no memory: after it, Redis lets a script continue even if Redis is full.
  redis.call('HDEL', KEYS[1], 'lease', 'takeovers', 'doubt', 'due', 'limit', 'slot', 'holder')
  redis.call('HSET', KEYS[1], 'state', state)
  if not record.state then redis.call('HSET', KEYS[1], 'noted', integer(now)) end
  if state == 'waiting' then
    redis.call('HSET', KEYS[1], 'attempt', attempt, 'due', integer(now + delay))
  else
    redis.call('HSET', KEYS[1], 'text', text)
  end
  if notifications ~= '' then redis.call('HSET', KEYS[1], 'notifications', notifications) end
  redis.call('PEXPIRE', KEYS[1], ttl)

  local entry, verdict, hold, disable_after, off = unpack(ARGV, 12, 16)
  if entry ~= '' then
    local waits = state == 'waiting' and now + delay
    append(KEYS[1], string.sub(entry, 1, -2), waits, waits and verdict == '')
  end
  if verdict == '' then return 'ok' end

  local function switch_off(why)
    redis.call('HSET', KEYS[2], 'off', why, 'until', integer(now + off))
    -- A destination that is switched on again has the full time before it is switched off.
    redis.call('HDEL', KEYS[2], 'failing')
    return 'disabled'
  end

  local place = redis.call('HMGET', KEYS[2], 'failing', 'off', 'until')
  if verdict == 'accepted' then
    if not (place[1] or place[2]) then return 'ok' end
    redis.call('HDEL', KEYS[2], 'failing', 'off', 'until')
    return place[2] and 'recovered' or 'ok'
  end
  if verdict == 'neither' then return 'ok' end

  local transition = 'ok'
  if tonumber(hold) > 0 then redis.call('HSET', KEYS[2], 'hold', integer(now + hold)) end
  if tonumber(place[3] or 0) <= now then
    if verdict == 'gone' then
      transition = switch_off('gone')
    elseif not place[1] then
      redis.call('HSET', KEYS[2], 'failing', integer(now))
    elseif now - place[1] >= tonumber(disable_after) then
      transition = switch_off('failing')
    end
  end
  redis.call('PEXPIRE', KEYS[2], math.max(ttl, math.ceil(off / 1000)))
  return transition
end

local said = settle()
return {said, said ~= 'lost' and ARGV[9] ~= '' and finish_unit(KEYS[#KEYS], unpack(ARGV, 9, 11)) or 0}
