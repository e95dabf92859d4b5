-- Claim a record before any work is done for it.
--
-- KEYS[1]  the record
-- ARGV     1 token · 2 replays and 3 attempt of the message · 4 lease, µs · 5 TTL of the record, ms
--          6 after so many takeovers it is not given; 0: never mind
-- reply    {'settled', state}          over already; a later replay opens what is dead again
--          {'stale'}                   the record is past this attempt
--          {'busy', µs}                somebody else holds it for so long
--          {'suspect'}                 so many before us ended without an outcome: nothing was written
--          {'mine', fence, takeovers, doubt}
--                                      claimed; takeovers: so many before us, in a row, ended without an outcome;
--                                      doubt: 1 where one of them may have been sending

local reply = answer(unpack(ARGV, 1, 5))
if reply then return reply end
local suspect = tonumber(ARGV[6])
if claimed and suspect > 0 and record.takeovers + 1 >= suspect then return {'suspect'} end
return take(unpack(ARGV, 1, 5))
