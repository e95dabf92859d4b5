-- Claim a record before any work is done for it.
--
-- KEYS[1]  the record
-- ARGV     1 token · 2 replays and 3 attempt of the message · 4 lease, µs · 5 TTL of the record, ms
--          6 takeovers from which on the claim is refused; 0: it is never refused
-- reply    {'settled', state}          the record has ended; a later replay reopens a dead one
--          {'stale'}                   the record is past this attempt
--          {'busy', µs}                another process holds the claim for this time
--          {'suspect'}                 too many claims in a row ran out without an outcome: nothing was written
--          {'mine', fence, takeovers, doubt}
--                                      claimed; takeovers: the claims in a row that ran out without an outcome;
--                                      doubt: 1 if one of them may have been sending

local reply = answer(unpack(ARGV, 1, 5))
if reply then return reply end
local suspect = tonumber(ARGV[6])
if claimed and suspect > 0 and record.takeovers + 1 >= suspect then return {'suspect'} end
return take(unpack(ARGV, 1, 5))
