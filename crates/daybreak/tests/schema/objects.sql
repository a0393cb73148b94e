-- Statements end with `;;` on a line of its own. Run by an account that exists at the source only.
USE `tor``ture "db" ☃`
;;
CREATE DEFINER=`ma``ker "x"`@`%` FUNCTION `f, (``x` (`pä` INT, s SET('a)', 'b')) RETURNS VARCHAR(50) CHARSET latin1 DETERMINISTIC COMMENT 'it''s; (x) \\ ☃'
RETURN CONCAT('\\', ';;', `pä`, "it's", s)
;;
CREATE DEFINER=`ma``ker "x"`@`%` FUNCTION reads_view() RETURNS INT READS SQL DATA RETURN (SELECT MAX(n) FROM v_a)
;;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,IGNORE_SPACE'
;;
CREATE DEFINER="ma`ker ""x"""@"%" PROCEDURE "ansi ""p"" DEFINER=x" (OUT "o ut" VARCHAR(20)) SQL SECURITY INVOKER COMMENT 'back\slash'
BEGIN
  -- `;;` "x" '
  SELECT 'a' || '\' || "primary" INTO "o ut" FROM "order" LIMIT 1;
END
;;
CREATE TRIGGER "t 1" BEFORE INSERT ON "order" FOR EACH ROW SET @a = '\' || "NEW"."primary"
;;
SET sql_mode = ''
;;
CREATE PROCEDURE `pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp☃☃`() SELECT 1
;;
CREATE PROCEDURE `new
line */ -- '"`() SELECT 1
;;
ALTER DATABASE `tor``ture "db" ☃` COLLATE utf8mb4_da_0900_ai_ci
;;
CREATE PROCEDURE of_other_collation(IN p VARCHAR(9)) SELECT p
;;
ALTER DATABASE `tor``ture "db" ☃` CHARACTER SET latin1 COLLATE latin1_german1_ci
;;
CREATE DEFINER=`ma``ker "x"`@`%` VIEW v_z AS SELECT `key` AS n, `f, (``x`(`primary`, 'b') AS `f, ``'"` FROM `order`
;;
CREATE VIEW v_m (`a, b`, `n`) AS SELECT `f, ``'"`, n FROM v_z WHERE n <> 'DEFINER=`x`@`y`'
;;
CREATE ALGORITHM=MERGE DEFINER=CURRENT_USER SQL SECURITY INVOKER VIEW v_a AS SELECT n FROM v_m WHERE n > 5 WITH LOCAL CHECK OPTION
;;
CREATE VIEW v_0 AS SELECT reads_view() AS r, v_a.n FROM v_a, `second`.parent
;;
CREATE TABLE soon_gone (a INT)
;;
CREATE VIEW invalid AS SELECT a FROM soon_gone
;;
CREATE VIEW on_invalid AS SELECT a FROM invalid
;;
DROP TABLE soon_gone
;;
CREATE TRIGGER `z first` BEFORE UPDATE ON `order` FOR EACH ROW SET NEW.`primary` = 1
;;
CREATE TRIGGER `a second` BEFORE UPDATE ON `order` FOR EACH ROW SET NEW.`primary` = 2
;;
CREATE DEFINER=`ma``ker "x"`@`%` TRIGGER `m between` BEFORE UPDATE ON `order` FOR EACH ROW PRECEDES `a second` BEGIN SET NEW.`primary` = 3; SET @x = 'FOLLOWS `x`'; END
;;
CREATE TRIGGER `b last` BEFORE UPDATE ON `order` FOR EACH ROW FOLLOWS `a second` SET NEW.`primary` = 4
;;
CREATE TRIGGER `other time` AFTER UPDATE ON `order` FOR EACH ROW SET @y = 1
;;
SET time_zone = '+05:30'
;;
CREATE DEFINER=`ma``ker "x"`@`%` EVENT `e "1" ENABLE` ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2030-03-31 02:30:00' ENDS '2037-01-01' ON COMPLETION PRESERVE ENABLE COMMENT 'DISABLE; it''s' DO SET @e = 'ENABLE'
;;
CREATE EVENT once ON SCHEDULE AT '2036-02-29 12:00:00' DO BEGIN DELETE FROM `order` WHERE `key` = -1; END
;;
SET time_zone = 'SYSTEM'
;;
CREATE EVENT off ON SCHEDULE EVERY 1 WEEK DISABLE DO DO 1
;;
SET time_zone = '+00:00'
