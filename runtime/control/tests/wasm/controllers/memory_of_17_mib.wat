;; 272 pages of 64 KiB.
(module
  (memory 272)
  (func (export "process") (param $tick i64)))
