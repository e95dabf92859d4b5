-- Claim a record before any work is done for it.
--
-- KEYS[1]  the record
-- ARGV     1 token · 2 attempt of the message · 3 replayed, 1 or 0 · 4 lease, µs · 5 TTL of the record, ms
-- reply    {'settled', state}          over already; a replay opens what is dead again
--          {'stale'}                   the record is past this attempt
--          {'busy', µs}                somebody else holds it for so long
--          {'mine', fence, takeovers, doubt}
--                                      claimed; takeovers: so many before us, in a row, ended without an outcome;
--                                      doubt: 1 where one of them may have been sending

return answer(unpack(ARGV)) or take(ARGV[1], ARGV[2], ARGV[4], ARGV[5])
