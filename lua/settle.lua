-- Record the end, or give the claim up. Only the holder of the claim may do so. A repetition changes nothing.
--
-- KEYS[1]  the record
-- KEYS[2]  where an attempt was made: hash, the record of its destination, there while anything is wrong with it
--            failing  µs since the epoch: since when nothing was accepted
--            off      why it was switched off, gone or failing; until something is accepted again
--            until    µs since the epoch: so long it is off
--            hold     µs since the epoch: nothing before, by its own wish
-- KEYS[3]  with it: list, the story of the attempts, oldest first; it ends before the record does
-- KEYS[#]  last, where it is the only notification of its unit: the record of that unit, which is done with it
-- ARGV     1 token · 2 fence, 0 for what was never claimed: then only where nobody holds it and nothing is over
--          3 new state · 4 attempt, of what is given up · 5 delay until it comes back, µs · 6 text · 7 notifications
--          8 TTL of the record, ms · 9 token, 10 fence and 11 notification of the unit, or three times nothing
--          with KEYS[3]: 12 accepted, failed, gone or neither · 13 hold, µs, or 0 · 14 the attempt, for the story
--          15 after so many µs of failing it is off · 16 for so many µs · 17 TTL of the story, ms
-- reply    {ok, unit}, or {lost, 0} if the claim is not ours any more: then nothing was written; or in place of ok:
--          the destination was disabled by this, or has recovered. unit: 1 where the unit's end is recorded

local STORY = 50  -- attempts that are kept at most at most

local token, fence, state, attempt, delay, text, notifications, ttl = unpack(ARGV, 1, 8)

-- Like a call of its own on the unit's record. 0: its claim is not ours any more.
local function finish_unit(key, unit_token, unit_fence, notification)
  local unit = redis.call('HMGET', key, 'state', 'token', 'fence')
  if unit[2] ~= unit_token or unit[3] ~= unit_fence then return 0 end
  if unit[1] == 'claimed' or unit[1] == 'transmitting' then
    redis.call('HDEL', key, 'lease', 'takeovers', 'doubt', 'due', 'limit', 'slot')
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
  redis.call('HDEL', KEYS[1], 'lease', 'takeovers', 'doubt', 'due', 'limit', 'slot')
  redis.call('HSET', KEYS[1], 'state', state)
  if state == 'waiting' then
    redis.call('HSET', KEYS[1], 'attempt', attempt, 'due', integer(now + delay))
  else
    redis.call('HSET', KEYS[1], 'text', text)
  end
  if notifications ~= '' then redis.call('HSET', KEYS[1], 'notifications', notifications) end
  redis.call('PEXPIRE', KEYS[1], ttl)
  if not KEYS[3] then return 'ok' end

  local verdict, hold, entry, disable_after, off, story_ttl = unpack(ARGV, 12, 17)
  redis.call('RPUSH', KEYS[3], entry)
  redis.call('LTRIM', KEYS[3], -STORY, -1)
  redis.call('PEXPIRE', KEYS[3], story_ttl)

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
