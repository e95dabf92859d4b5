-- Allocate to one pod its part of the calls that the fleet may make at once to one API. The parts never add up to more
-- than the budget.
--
-- KEYS[1]  hash: since, the start of this registry (µs) · for each pod its part, a colon, and the end of the part (µs)
-- ARGV     1 pod · 2 budget · 3 calls that the pod has in flight · 4 its part · 5 calls that it wants to make now
--          6 period between two announcements of a pod, µs
-- reply    the part of the pod from now on, at least its calls under way
--
-- A registry younger than a few periods is new, or was flushed. Not all pods are known yet, so no pod gets more than it
-- holds already. A pod that is silent for a few more is gone.
-- Names in capitals are constants: notification_sender/adapters/redis/constants.py.

local clock = redis.call('TIME')
local now = clock[1] * SECOND + clock[2]
local me, budget, under_way, held, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local period = tonumber(ARGV[6])

local since, pods, others = now, 1, 0
local entries = redis.call('HGETALL', KEYS[1])
for place = 1, #entries, 2 do
  local name, value = entries[place], entries[place + 1]
  local holds, ends = string.match(value, '^(%d+):(%d+)$')
  if name == 'since' then
    since = tonumber(value)
  elseif name ~= me then
    if holds and tonumber(ends) > now then
      pods, others = pods + 1, others + tonumber(holds)
    else
      redis.call('HDEL', KEYS[1], name)
    end
  end
end

local grant = held
if now - since >= UNSURE_PERIODS * period then
  grant = math.ceil(budget / pods)
  if pods > budget and wanted == 0 then grant = 0 end
end
grant = math.max(math.min(grant, budget - others), under_way)

redis.call('HSET', KEYS[1], 'since', string.format('%.0f', since), me, string.format('%.0f:%.0f', grant, now + SILENT_PERIODS * period))
redis.call('PEXPIRE', KEYS[1], math.ceil(REGISTRY_PERIODS * period / 1000))
return grant
