"""Names that many people of several parts of the world have, most of them first names.

They are without the marks of their letters. Names that places, months or things have as well
(Florence, Austin, April, Rose) are left out.
"""

# ruff: noqa: RUF001  # letters of other scripts are meant
from __future__ import annotations

from typing import Final

from schemas.functions import names

FIRST_NAMES: Final = names(
    """
    james john robert michael william david richard joseph thomas charles mary patricia
    jennifer linda elizabeth barbara susan jessica sarah karen christopher matthew anthony
    donald steven andrew kenneth joshua kevin brian timothy ronald jason jeffrey ryan jacob
    nicholas jonathan stephen larry justin scott brandon benjamin samuel gregory patrick
    alexander jack dennis tyler aaron nathan zachary kyle ethan jeremy nancy betty lisa
    margaret sandra ashley kimberly emily donna michelle amanda melissa deborah stephanie
    rebecca sharon cynthia kathleen amy angela shirley brenda pamela nicole katherine
    christine catherine samantha debra janet rachel carolyn heather maria diane julie joyce
    evelyn kelly lauren megan cheryl andrea hannah jacqueline martha gloria teresa sara ann
    anna jean alice judy sophia emma olivia noah liam lucas mia bob carol eve daniel mark
    laura julia george edward henry frank arthur walter harry albert peter paul simon philip
    oliver jake harriet fiona nigel graham ian gareth siobhan sean niamh ciaran declan
    hans klaus juergen jurgen wolfgang dieter uwe manfred stefan stephan andreas matthias
    sabine monika petra ursula renate helga ingrid karin heike birgit anke katrin kathrin
    lukas jonas felix maximilian leonie lena johanna franziska sebastian florian tobias
    pierre jacques francois michel philippe alain bernard christophe nicolas laurent julien
    isabelle nathalie sylvie valerie sandrine celine camille chloe mathieu antoine guillaume
    benoit thierry veronique brigitte monique aurelie marie jose juan carlos ana luis jorge
    miguel antonio manuel francisco javier rafael fernando pedro pablo alejandro sergio
    alvaro diego andres ricardo eduardo raul carmen pilar dolores josefa lucia cristina
    marta elena isabel beatriz sofia valentina camila gabriela mariana joao paulo rodrigo
    thiago gustavo felipe bruno leticia fernanda juliana larissa giovanni giuseppe marco
    luca matteo francesca chiara giulia alessandro lorenzo davide paolo roberto stefano
    federica elisa paola silvia jan piotr krzysztof andrzej tomasz pawel marcin agnieszka
    malgorzata katarzyna ewa magdalena zofia zuzana pavel jiri petr tomas marek milan jana
    lenka ondrej istvan laszlo zoltan gabor ferenc attila katalin erzsebet zsuzsanna ion
    gheorghe andrei mihai ioana elena dragan zoran goran nikola jelena ivana milica marija
    ivan dmitri dmitry sergei sergey vladimir aleksandr alexei alexey nikolai mikhail
    anastasia olga natalia natalya tatiana tatyana irina svetlana ekaterina yulia oleksandr
    oksana andriy mykola lars erik anders nils johan karl sven bjorn mikael gunnar kristian
    magnus henrik soren astrid ingeborg birgitta annika kirsten mette liv solveig juhani
    matti timo pekka antti sanna tuula paivi aino dimitris giorgos konstantinos yannis
    nikos maria eleni katerina mehmet mustafa ahmet huseyin murat emre hatice zeynep elif
    ayse mohammed muhammad mohamed ahmed ali hassan hussein omar khalid ibrahim youssef
    abdullah abdul fatima aisha khadija zainab amina layla noor yusuf tariq bilal karim
    amir reza mehdi hossein maryam zahra parisa david moshe yosef avraham shlomo rivka
    miriam tamar raj rahul amit anil sunil vijay rajesh suresh ramesh sanjay arjun rohan
    aditya vikram priya anita sunita pooja neha kavita lakshmi deepa shreya ananya anjali
    imran faisal salman nadia ayesha wei li chen wang zhang liu yang jing ming xiaoming
    hui yan mei xiu jun hiroshi takashi kenji yuki akira satoshi kazuo haruto yuko keiko
    sakura yumi naoko minjun jihoon seoyeon jiwoo sungmin hyunwoo nguyen tran minh linh
    somchai siti budi agus dewi putri sri nurul kwame kofi ama akosua abena chinedu
    chukwuemeka ngozi adaeze oluwaseun tunde funke emeka ifeoma thabo sipho nomsa lerato
    themba wanjiku kamau njoroge otieno achieng tendai
    gianluca simone antonella simona alessandra valentino salvatore vincenzo domenico pietro
    riccardo claudia daniela patrizia rosanna emanuele vittoria arturo mirella
    ahmad yasin hakan serkan burak fatma esra merve ozge kemal
    deepak manoj ashok vinod sandeep vivek nikhil karthik harish divya nisha meera rekha
    ritu swati aarav ishaan vihaan saanvi aadhya diya
    agung wahyu rizky dwi ayu rina lestari fitri indah bambang hendra joko yanti
    nkosinathi mandla bongani zanele thandiwe nokuthula
    vasile constantin cristian adrian marius gabriel mihaela daniela alexandra bogdan
    иван александр сергеи дмитрии андреи алексеи михаил владимир николаи павел олег игорь
    виктор юрии анна мария елена ольга наталья татьяна екатерина ирина светлана юлия
    олександр сергіи андріи микола тарас богдан оксана наталія ірина олена марія
    γιωργος δημητρης κωνσταντινος νικος γιαννης παναγιωτης μαρια ελενη κατερινα σοφια αννα
    محمد احمد علي حسن حسين عمر خالد ابراهيم يوسف عبدالله فاطمة عائشة مريم زينب سارة نور
    رضا مهدی امیر حسین علی زهرا فاطمه مریم سارا
    राम राहुल अमित सुनीता प्रिया अनिल सुरेश राजेश गीता सीता मोहन विजय संजय
    singh kumar sharma verma gupta patel reddy yadav mehta iyer siregar nasution
    सिंह कुमार शर्मा वर्मा गुप्ता पटेल यादव السيد الشيخ الدكتور
    สมชาย สมหญิง สมศักดิ์ ประเสริฐ วิชัย สุดา มาลี
    """
)
ENDINGS: Final = (
    *("ович", "евич", "овна", "евна", "енко", "ова", "ева", "οπουλος", "ιδης", "ακης", "escu"),
    *(
        "oglu",
        "rsson",
        "nsson",
        "lsson",
        "tsson",
        "ksson",
        "dottir",
        "owicz",
        "ewicz",
        "wski",
        "wska",
        "shvili",
        "enko",
        "ovic",
        "evic",
    ),
)
"""Of names after a father, and of families."""
HAN: Final = (
    "^([王李张張刘劉陈陳杨楊黄黃赵趙吴吳周徐孙孫马馬朱胡郭何高林罗羅郑鄭梁谢謝宋唐许許韩韓冯馮邓鄧曹彭曾肖田董袁潘"
    "于蒋蔣蔡余杜叶葉程苏蘇魏吕呂丁任沈姚卢盧傅钟鍾姜崔谭譚廖范汪陆陸金石戴贾賈韦韋夏邱方侯邹鄒熊孟秦白江阎薛尹段]"
    r"\p{Han}{1,2}|(佐藤|鈴木|高橋|田中|伊藤|渡辺|山本|中村|小林|加藤|吉田|山田|佐々木|山口|松本|井上|木村|斎藤|清水|山崎"
    r"|池田|橋本|阿部|石川|前田|藤田|小川|岡田|後藤|長谷川|村上|近藤|石井|坂本|遠藤|青木|藤井|西村|福田|太田|三浦|岡本)"
    r" ?[\p{Han}\p{Hiragana}\p{Katakana}]{1,3})$"
)
"""Family names, which come first, with names of one to three signs."""
HANGUL: Final = r"^[김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남심노하]\p{Hangul}{2}$"
