-- Statements end with `;;` on a line of its own.
CREATE DATABASE `tor``ture "db" ☃` CHARACTER SET latin1 COLLATE latin1_german1_ci
;;
USE `tor``ture "db" ☃`
;;
CREATE TABLE `all, (of) ``it``
here` (
  `id, (x` INT NOT NULL AUTO_INCREMENT COMMENT 'it''s a ), "x" \\ `y` /* no */ -- no
 # no',
  `e` ENUM('a,b',')','(','''','\\','"','`','/*!50100 PARTITION','ü') NOT NULL DEFAULT ')',
  `b` BINARY(3) DEFAULT 0xFF00FE,
  `vb` VARBINARY(9) DEFAULT 'a\'b\\',
  `ts` TIMESTAMP NOT NULL,
  `ts0` TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00',
  `d0` DATE NOT NULL DEFAULT '0000-00-00',
  `d1` DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  `u` VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT '🙂\n\t''',
  `t` TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  `j` JSON DEFAULT (JSON_OBJECT('k,(', _utf8mb4'v)')),
  `g` INT GENERATED ALWAYS AS (`z` + LENGTH(')(')) VIRTUAL COMMENT ')',
  `gs` VARCHAR(40) GENERATED ALWAYS AS (CONCAT(`u`, ',')) STORED INVISIBLE,
  `z` INT(5) ZEROFILL DEFAULT NULL,
  `bo` TINYINT(1) DEFAULT '1',
  `y` YEAR DEFAULT NULL,
  `bi` BIT(9) DEFAULT b'101',
  `f` FLOAT(7,4) DEFAULT NULL,
  `de` DECIMAL(10,2) UNSIGNED NOT NULL DEFAULT '0.50',
  `p` POINT NOT NULL SRID 4326,
  PRIMARY KEY (`id, (x`) COMMENT 'the ''key'', (',
  UNIQUE KEY `u,(` (`u`, `e` DESC) COMMENT ')',
  KEY `fn` ((CONCAT(`u`, ',)'))),
  KEY `mixed` (`e`, (`z` + 1), `t`(10)),
  KEY `multi` ((CAST(`j`->'$.tags' AS UNSIGNED ARRAY))),
  KEY `hidden` (`ts`) INVISIBLE,
  KEY `by_hash` (`bo`) USING HASH,
  FULLTEXT KEY `ft1` (`t`),
  FULLTEXT KEY `ft2` (`u`, `t`) /*!50100 WITH PARSER `ngram` */,
  SPATIAL KEY `sp` (`p`),
  CONSTRAINT `chk,(` CHECK (`z` > 0 AND `u` <> ')('),
  CONSTRAINT `off` CHECK (`bo` IN (0, 1)) NOT ENFORCED
) ENGINE=InnoDB AUTO_INCREMENT=77 ROW_FORMAT=DYNAMIC STATS_PERSISTENT=1 STATS_SAMPLE_PAGES=30 COMMENT='PARTITION BY ) ''x'' \\ " `
*/'
;;
CREATE TABLE `ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccüü` (a INT, UNIQUE KEY `kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkküü` (a))
;;
CREATE TABLE `order` (`key` INT PRIMARY KEY, `primary` INT, `constraint` INT, KEY `unique` (`primary`), KEY `foreign` (`constraint`))
;;
CREATE TABLE keyless_unique (a INT, b INT NOT NULL, c VARCHAR(10) NOT NULL, UNIQUE KEY nullable (a), UNIQUE KEY z (b), UNIQUE KEY y (c), KEY plain (a, b))
;;
CREATE TABLE keyless_prefix (c VARCHAR(100) NOT NULL, d INT, UNIQUE KEY p (c(5)), KEY d (d))
;;
CREATE TABLE keyless (a INT, b TEXT)
;;
CREATE TABLE counted_elsewhere (a INT NOT NULL, n BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, PRIMARY KEY (a), KEY other (a, n), KEY n (n, a)) AUTO_INCREMENT=500
;;
CREATE TABLE fk_a (id INT PRIMARY KEY, b INT, self INT, KEY b (b), CONSTRAINT a_b FOREIGN KEY (b) REFERENCES fk_a (id) ON DELETE SET NULL)
;;
CREATE TABLE fk_b (id INT PRIMARY KEY, a INT, CONSTRAINT b_a FOREIGN KEY (a) REFERENCES fk_a (id) ON UPDATE CASCADE ON DELETE CASCADE)
;;
ALTER TABLE fk_a ADD CONSTRAINT `a, (b)``` FOREIGN KEY (self) REFERENCES fk_b (id) ON DELETE RESTRICT
;;
CREATE TABLE fk_other (id INT PRIMARY KEY, s INT, CONSTRAINT other_db FOREIGN KEY (s) REFERENCES `second`.parent (id))
;;
CREATE TABLE parts (
  id INT NOT NULL, d DATE NOT NULL, n VARCHAR(20), PRIMARY KEY (id, d), KEY n (n)
) COMMENT='parts' PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (TO_DAYS(d)) SUBPARTITIONS 2 (
  PARTITION p0 VALUES LESS THAN (2020) COMMENT 'a, )', PARTITION `p, (1)` VALUES LESS THAN (2024), PARTITION pm VALUES LESS THAN MAXVALUE)
;;
CREATE TABLE parts_list (a VARCHAR(9) NOT NULL, b INT, KEY b (b)) PARTITION BY LIST COLUMNS (a) (PARTITION x VALUES IN ('(', ')'), PARTITION y VALUES IN ('''', ','))
;;
CREATE TABLE compressed (id INT PRIMARY KEY, t TEXT, KEY t (t(100))) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
;;
CREATE TABLE greek (id INT PRIMARY KEY, a CHAR(5) CHARACTER SET greek, b VARCHAR(5) COLLATE utf8mb4_da_0900_as_cs, c LONGTEXT CHARACTER SET utf8mb3) DEFAULT CHARSET=ucs2
;;
SET sql_generate_invisible_primary_key = ON
;;
CREATE TABLE gipk (a INT, b INT, KEY b (b))
;;
SET sql_generate_invisible_primary_key = OFF
