-- The registration that a package was kept for will not come.
-- ARGV: digest.

expect_less(ARGV[1])
drop_if_unused(ARGV[1])
