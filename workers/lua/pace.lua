-- ARGV and what is returned: see `reserve`
return reserve(1)
