%chk=a.chk
%mem=1GB
#p PM6 opt
   geom=connectivity

hydroxide, then water in two more jobs

-1 1
O(Iso=18)   0.0D+00  0.0D+00  0.0D+00
H-H-0.3  0  0.0D+00  0.0D+00  9.6D-01

1 2 1.0
2

--Link1--
%chk=a.chk
# PM6 freq geom=allcheck

--Link1--
# PM6


0 1
O
H 1 r
H 1 r 2 a
Variables:
r 0.96
a 104.5

