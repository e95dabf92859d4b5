-- Claim a record before any work is done for it.
--
-- KEYS[1]  the record
-- ARGV     1 token · 2 replays and 3 attempt of the message · 4 lease, µs · 5 TTL of the record, ms
--          6 takeovers from which on the claim is refused; 0: it is never refused · 7 process · 8 TTL of the story, ms
-- reply    {'settled', state}          the record has ended; a later replay reopens a dead one
--          {'stale'}                   the record is past this attempt
--          {'busy', µs}                another process holds the claim for this time
--          {'suspect'}                 too many claims in a row ran out without an outcome: nothing was written
--          {'mine', fence, takeovers, doubt}
--                                      claimed; takeovers: the claims in a row that ran out without an outcome;
--                                      doubt: 1 if one of them may have been sending

local reply = answer(unpack(ARGV, 1, 5))
if reply then return refuse(reply) end
local suspect = tonumber(ARGV[6])
if claimed and suspect > 0 and record.takeovers + 1 >= suspect then return {'suspect'} end
if not record.state then
  redis.call('HSET', KEYS[1], 'first', integer(now) .. ' ' .. ARGV[7])
elseif not claimed then
  append(KEYS[1], string.format('{"step":"claim","outcome":"claimed","attempt":%s', ARGV[3]))
end
return take(unpack(ARGV, 1, 5))
