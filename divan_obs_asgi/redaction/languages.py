# ruff: noqa: E501 - a list of words is one line.
"""Keys of secrets in other languages than English. Letters are written without their marks: `sifre` is also `şifre`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from divan_obs_asgi.redaction.keys import CREDENTIAL, EMAIL, PERSON, PHONE, POSITION

NATIONAL_ID = "national_id"
BIRTH_DATE = "birth_date"
ADDRESS = "postal_address"

# A comma or a line end separates phrases. "!" marks a phrase that matches anywhere in a key; the others match at its
# end. "?" marks a phrase that prevents a match.
Words = Mapping[str, str]

ENGLISH: Words = {
    BIRTH_DATE: "birth date, birthdate, date of birth, dateofbirth, dob, birthday, birth day",
    ADDRESS: """
        postal address, home address, street address, postaladdress, homeaddress, streetaddress, shipping address
        billing address, delivery address, mailing address, residential address, address line, addressline, street name
        street, ?web address, ?e mail address, ?street view, zip code, zipcode, postal code, postalcode, postcode
    """,
    NATIONAL_ID: "national id, national identity, national id number, identity number, id card number, tax id number",
}

LANGUAGES: Mapping[str, Words] = MappingProxyType(
    {
        "en": ENGLISH,
        "tr": {
            CREDENTIAL: """
                !parola, !sifre, !sifresi, !parolasi, !parolam, !sifrem, !gizli anahtar, gizli anahtari, api anahtari
                guvenlik kodu, dogrulama kodu, onay kodu, sms kodu, pin kodu, erisim anahtari, giris kodu
                ?sifre uzunlugu, ?parola uzunlugu, ?sifre suresi, ?parola suresi, ?sifre tipi, ?parola tipi
                ?sifre sayisi, ?sifre kurali, ?parola kurali, ?sifre gecerli, ?parola gecerli, ?sifre degisti
            """,
            PHONE: """
                !telefon, !telefonu, !telefonum, !gsm, cep, cep no, !cep telefonu, !ceptel, tel no, cep tel, !telno
                irtibat no, irtibat numarasi, gsm no, faks, ?telefon modeli, ?telefon markasi, ?gsm operatoru, ?gsm signal
                ?gsm module, ?gsm band
            """,
            PERSON: "ad soyad, adi soyadi, adsoyad, soyad, soyadi, soyisim, isim soyisim, tam ad, anne kizlik soyadi",
            EMAIL: "!eposta, !e posta, eposta adresi, e posta adresi, mail adresi",
            POSITION: "!enlem, !boylam, koordinat, koordinatlar",
            BIRTH_DATE: "dogum tarihi, dogumtarihi, dogum gunu, dogum tar",
            ADDRESS: """
                adres, adresi, ev adresi, acik adres, teslimat adresi, fatura adresi, posta kodu, mahalle, sokak
                ?ip adresi, ?ip adres, ?mac adresi, ?web adresi, ?sunucu adresi, ?url adresi, ?internet adresi
                ?eposta adresi, ?posta adresi yok, ?bellek adresi
            """,
            NATIONAL_ID: """
                !tckn, !tc kimlik, tc no, tcno, !tckimlik, !tckimlikno, kimlik no, kimlik numarasi, kimlikno, vergi no
                vergi numarasi, vkn, ?kimlik turu, ?kimlik tipi
            """,
        },
        "de": {
            CREDENTIAL: """
                !passwort, !kennwort, !geheimnis, !zugangscode, !losung, !zugangsdaten, !geheimzahl, !passworter
                sicherheitscode, bestatigungscode, zugriffsschlussel, !schluesselwort, ?passwort lange, ?passwort typ
            """,
            PHONE: """
                !telefon, !telefonnummer, !handy, !handynummer, !rufnummer, !mobilnummer, !mobiltelefon, telefonnr, faxnummer
                handynr, durchwahl, ?telefon modell, ?handy modell
            """,
            PERSON: "vorname, nachname, familienname, geburtsname, vor und nachname, vollstandiger name",
            EMAIL: "!emailadresse, !mailadresse, e mail adresse",
            POSITION: "!breitengrad, !langengrad, !laengengrad, koordinaten",
            BIRTH_DATE: "geburtsdatum, geburtstag, geb datum, gebdatum",
            ADDRESS: """
                anschrift, postanschrift, wohnanschrift, lieferanschrift, lieferadresse, rechnungsadresse, wohnadresse
                strasse, strase, hausnummer, plz, postleitzahl, adresse, ?ip adresse, ?mac adresse, ?web adresse
            """,
            NATIONAL_ID: """
                steuer id, steueridentifikationsnummer, steuernummer, sozialversicherungsnummer, personalausweisnummer
                ausweisnummer, rentenversicherungsnummer, svnr, sv nummer, ahv nummer, ahvnummer, ahv
            """,
        },
        "fr": {
            CREDENTIAL: """
                !mot de passe, !motdepasse, !mots de passe, !mdp, code secret, !cle secrete, cle api, !jeton, code de securite
                code de verification, code confidentiel, ?jeton type
            """,
            PHONE: """
                !telephone, !portable, numero de telephone, numero telephone, num tel, telephone portable, no tel, telecopie
                ?portable version
            """,
            PERSON: "prenom, nom de famille, nom complet, nom de naissance, nom prenom, nom et prenom, nomfamille",
            EMAIL: "!courriel, !adresse mail, adresse email, adresse electronique",
            POSITION: "coordonnees, coordonnees gps",
            BIRTH_DATE: "date de naissance, date naissance, datenaissance, ne le",
            ADDRESS: """
                adresse, adresse postale, code postal, codepostal, rue, adresse de livraison, adresse de facturation
                ?adresse ip, ?ip adresse, ?adresse mac, ?adresse web
            """,
            NATIONAL_ID: "numero securite sociale, securite sociale, num secu, numero secu, nir, registre national",
        },
        "es": {
            CREDENTIAL: """
                !contrasena, !contrasenas, !contrasenia, !clave, !clave secreta, !claves, palabra clave, codigo de seguridad
                codigo verificacion, codigo de verificacion, llave secreta, ?clave primaria, ?clave foranea, ?clave type
                ?palabras clave
            """,
            PHONE: "!telefono, !celular, !movil, numero de telefono, telefono movil, tel movil, num telefono",
            PERSON: "apellido, apellidos, nombre completo, nombre y apellidos, primer apellido, segundo apellido",
            EMAIL: "!correo, !correo electronico",
            POSITION: "!latitud, !longitud geo, coordenadas",
            BIRTH_DATE: "fecha de nacimiento, fecha nacimiento, fechanacimiento, nacimiento, fecha nac",
            ADDRESS: """
                direccion postal, domicilio, direccion, codigo postal, codigopostal, calle, ?direccion ip, ?direccion mac
                ?direccion web, ?ip direccion
            """,
            NATIONAL_ID: "!dni, nie, nif, cuit, cuil, !curp, rfc mx, rut, !run chile, numero de identidad, cedula",
        },
        "pt": {
            CREDENTIAL: """
                !senha, !senhas, !palavra passe, !palavrapasse, !chave secreta, !chave api, codigo de seguranca, chave de acesso
                codigo de verificacao, ?senha tipo, ?tamanho senha
            """,
            PHONE: "!telefone, !celular, !telemovel, !fone, numero de telefone, telefones, zap, ?fone type",
            PERSON: "sobrenome, nome completo, nomecompleto, nome da mae, nome mae, nome do pai, apelido completo",
            EMAIL: "!correio eletronico, endereco de email",
            POSITION: "coordenadas",
            BIRTH_DATE: "data de nascimento, data nascimento, datanascimento, nascimento, dt nascimento, dt nasc",
            ADDRESS: """
                endereco, cep, codigo postal, logradouro, bairro, morada, rua, ?endereco ip, ?ip endereco, ?endereco mac
                ?endereco web
            """,
            NATIONAL_ID: "!cpf, !cnpj, numero do cpf, rg, nif, contribuinte, niss, cpf cnpj",
        },
        "it": {
            CREDENTIAL: "!parola chiave, !chiave segreta, !chiave api, !parola di accesso, codice segreto, !parola ordine",
            PHONE: "!telefono, !cellulare, numero di telefono, numero telefono, recapito telefonico, telefonino",
            PERSON: "cognome, nome completo, nome e cognome, nome cognome, cognome nome",
            EMAIL: "posta elettronica, indirizzo email, indirizzo mail",
            POSITION: "!latitudine, !longitudine, coordinate gps",
            BIRTH_DATE: "data di nascita, data nascita, datanascita",
            ADDRESS: "indirizzo, residenza, domicilio, cap, via e numero, ?indirizzo ip, ?indirizzo mac, ?indirizzo web",
            NATIONAL_ID: "!codice fiscale, !codicefiscale, cod fiscale, partita iva",
        },
        "nl": {
            CREDENTIAL: "!wachtwoord, !wachtwoorden, !geheime sleutel, !toegangscode, beveiligingscode, pincode",
            PHONE: "!telefoon, !telefoonnummer, !mobiel nummer, !gsm, gsm nummer, mobiel, telefoonnr",
            PERSON: "voornaam, achternaam, volledige naam, familienaam, geboortenaam",
            EMAIL: "!emailadres, e mailadres, mailadres",
            POSITION: "!breedtegraad, !lengtegraad, coordinaten",
            BIRTH_DATE: "geboortedatum, geboortedag",
            ADDRESS: "adres, huisnummer, straat, straatnaam, woonadres, bezorgadres, ?ip adres, ?mac adres, ?web adres",
            NATIONAL_ID: "!bsn, !burgerservicenummer, sofinummer, rijksregisternummer, bsn nummer",
        },
        "pl": {
            CREDENTIAL: "!haslo, !hasla, !tajny klucz, klucz api, kod pin, kod weryfikacyjny, ?haslo typ, ?dlugosc hasla",
            PHONE: "!telefon, !telefonu, numer telefonu, nr telefonu, komorka, tel kom, komorkowy",
            PERSON: "nazwisko, imie i nazwisko, imie nazwisko, nazwisko rodowe, imie",
            EMAIL: "adres email, adres e mail, poczta elektroniczna",
            POSITION: "!szerokosc geograficzna, !dlugosc geograficzna, wspolrzedne",
            BIRTH_DATE: "data urodzenia, dataurodzenia",
            ADDRESS: "adres, adres zamieszkania, ulica, kod pocztowy, kodpocztowy, ?adres ip, ?adres mac, ?adres email",
            NATIONAL_ID: "!pesel, numer pesel, nip, nr dowodu, numer dowodu",
        },
        "se": {
            CREDENTIAL: "!losenord, !lozenord, losen, hemlig nyckel, sakerhetskod, !losenordet",
            PHONE: "!telefon, !telefonnummer, !mobilnummer, mobiltelefon, telefonnr, mobilnr",
            PERSON: "fornamn, efternamn, fullstandigt namn",
            EMAIL: "!epost, !e post, epostadress",
            BIRTH_DATE: "fodelsedatum, fodelsedag",
            ADDRESS: "adress, gatuadress, postadress, postnummer, gata, ?ip adress, ?mac adress, ?epostadress",
            NATIONAL_ID: "!personnummer, personnr, samordningsnummer, organisationsnummer",
        },
        "no": {
            CREDENTIAL: "!passord, !adgangskode, !kodeord, hemmelig nokkel, sikkerhetskode, engangskode",
            PHONE: "!telefon, !telefonnummer, !mobilnummer, !mobilnr, telefonnr, tlf, tlfnr, mobiltelefon",
            PERSON: "fornavn, etternavn, efternavn, fulde navn, fullt navn",
            EMAIL: "!epost, !e post",
            BIRTH_DATE: "fodselsdato, fodselsdag",
            ADDRESS: "adresse, postadresse, gateadresse, postnummer, gate, vejnavn, ?ip adresse, ?mac adresse",
            NATIONAL_ID: "!fodselsnummer, personnummer, !cpr, cpr nummer, cprnr, cpr nr, fnr",
        },
        "fi": {
            CREDENTIAL: "!salasana, !salasanat, tunnusluku, salainen avain, pin koodi",
            PHONE: "!puhelin, !puhelinnumero, matkapuhelin, puhelinnro, puh, kannykka",
            PERSON: "etunimi, sukunimi, koko nimi, etunimet",
            EMAIL: "!sahkoposti, sahkopostiosoite",
            BIRTH_DATE: "syntymaaika, syntymapaiva",
            ADDRESS: "osoite, katuosoite, postiosoite, postinumero, kotiosoite, ?ip osoite, ?mac osoite",
            NATIONAL_ID: "!henkilotunnus, hetu, sosiaaliturvatunnus",
        },
        "cz": {
            CREDENTIAL: "!heslo, !hesla, tajny klic, bezpecnostni kod, overovaci kod",
            PHONE: "!telefon, telefonni cislo, cislo telefonu, mobilni cislo, mobil",
            PERSON: "prijmeni, jmeno a prijmeni, cele jmeno, rodne prijmeni, krestni jmeno",
            BIRTH_DATE: "datum narozeni, narozeni, datumnarozeni",
            ADDRESS: "adresa, ulice, psc, bydliste, dorucovaci adresa, ?ip adresa, ?mac adresa",
            NATIONAL_ID: "!rodne cislo, rodnecislo, cislo op",
        },
        "ro": {
            CREDENTIAL: "!parola, !parole, cheie secreta, cod de securitate, cod pin",
            PHONE: "!telefon, numar de telefon, numar telefon, nr telefon, telefon mobil",
            PERSON: "nume complet, prenume, nume de familie, nume si prenume",
            BIRTH_DATE: "data nasterii, datanasterii",
            ADDRESS: "adresa, strada, cod postal, domiciliu, adresa de livrare, ?adresa ip, ?adresa mac, ?ip adresa",
            NATIONAL_ID: "!cnp, cod numeric personal",
        },
    }
)

PHONE_WORDS = """
    tel phone telephone mobile cell cellphone gsm whatsapp sms fax call called caller calling dial dialled msisdn phoned
"""

# Words beside a phone number, apart from keys of phones.
MORE_PHONE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "en": "ring rang texted voicemail contact",
        "tr": "telefonla telefonunu telefonuna numarasi numarayi numarali ara aradi arayin arandi ulasin cepten cebi hat irtibat",
        "de": "handy anruf angerufen rufnummer ruf erreichbar mobil",
        "fr": "portable appel appele appeler joindre mobile",
        "es": "llamar llamada llamo movil celular contacto",
        "pt": "ligar ligou ligacao celular contato contacto zap",
        "it": "chiamare chiamata chiamato cellulare cell recapito",
        "nl": "bellen gebeld bel mobiel",
        "pl": "zadzwon dzwonil komorka kom numer",
        "se": "ring ringde mobil samtal",
        "no": "ring ringte mobil tlf",
        "fi": "soita soitti puh kannykka",
        "cz": "mobil volal zavolejte",
        "ro": "mobil suna sunat apelat",
    }
)

__all__ = ["ADDRESS", "BIRTH_DATE", "LANGUAGES", "MORE_PHONE_WORDS", "NATIONAL_ID", "PHONE_WORDS", "Words"]
